%% The client of gen_sctp's manual. Its pauses are an argument, in milliseconds.
-module(sctp_client).

-export([client/1]).
-include_lib("kernel/include/inet_sctp.hrl").

client([Host, Port, Pause]) ->
    client(Host, list_to_integer(Port), list_to_integer(Pause)),
    init:stop().

client(Host, Port, Pause) ->
    {ok, S} = gen_sctp:open(),
    {ok, Assoc} = gen_sctp:connect
        (S, Host, Port, [{sctp_initmsg, #sctp_initmsg{num_ostreams=5}}]),
    io:format("Connection Successful, Assoc=~0p~n", [Assoc]),

    io:write(gen_sctp:send(S, Assoc, 0, <<"Test 0">>)),
    io:nl(),
    timer:sleep(Pause),
    io:write(gen_sctp:send(S, Assoc, 5, <<"Test 5">>)),
    io:nl(),
    timer:sleep(Pause),
    io:write(gen_sctp:abort(S, Assoc)),
    io:nl(),

    timer:sleep(Pause),
    gen_sctp:close(S).

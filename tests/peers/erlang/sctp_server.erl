%% The server of gen_sctp's manual. It prints one line for each record, and which port it has.
-module(sctp_server).

-export([server/1]).

server([Host, Port]) ->
    {ok, IP} = inet:parse_address(Host),
    server(IP, list_to_integer(Port)).

server(IP, Port) ->
    {ok, S} = gen_sctp:open(Port, [{recbuf, 65536}, {ip, IP}]),
    ok = gen_sctp:listen(S, true),
    {ok, Bound} = inet:port(S),
    io:format("Listening on ~w:~w. ~w~n", [IP, Bound, S]),
    server_loop(S).

server_loop(S) ->
    case gen_sctp:recv(S) of
        {error, Error} ->
            io:format("SCTP RECV ERROR: ~0p~n", [Error]);
        Data ->
            io:format("Received: ~0p~n", [Data])
    end,
    server_loop(S).

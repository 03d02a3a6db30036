%% A peer that does what the messages it receives say, and prints every record it receives, after
%% the name of the socket it came from. A message that is no command is sent back, on its stream and
%% with its ppid.
-module(obey).

-export([server/1, client/1]).
-include_lib("kernel/include/inet_sctp.hrl").

-define(HOST, {127, 0, 0, 1}).

%% Mode: "passive", "once", "true", or the N of {active, N}.
server([Mode]) ->
    S = open(Mode),
    ok = gen_sctp:listen(S, true),
    {ok, Port} = inet:port(S),
    io:format("port ~w~n", [Port]),
    loop(shared, S, Mode).

client([Mode, Port]) ->
    S = open("passive"),
    {ok, Change} = gen_sctp:connect
        (S, ?HOST, list_to_integer(Port), [{sctp_initmsg, #sctp_initmsg{num_ostreams=5}}]),
    io:format("shared ~0p~n", [{[], Change}]),
    activate(S, Mode),
    loop(shared, S, Mode).

open(Mode) ->
    {ok, S} = gen_sctp:open([{ip, ?HOST}, {recbuf, 65536}]),
    activate(S, Mode),
    S.

activate(_S, "passive") ->
    ok;
activate(S, Mode) when Mode == "once"; Mode == "true" ->
    ok = inet:setopts(S, [{active, list_to_atom(Mode)}]);
activate(S, N) ->
    ok = inet:setopts(S, [{active, list_to_integer(N)}]).

loop(Name, S, Mode) ->
    Record = next(S, Mode),
    io:format("~w ~0p~n", [Name, Record]),
    case Record of
        {[Info], Data} when is_binary(Data) ->
            obey(Data, S, Info#sctp_sndrcvinfo.assoc_id, Info);
        _ ->
            ok
    end,
    loop(Name, S, Mode).

next(S, "passive") ->
    case gen_sctp:recv(S) of
        {ok, {_IP, _Port, Anc, Data}} -> {Anc, Data};
        {error, closed} -> halt(1);
        {error, Event} -> {[], Event}
    end;
next(S, Mode) ->
    receive
        {sctp, S, _IP, _Port, Record} ->
            Mode == "once" andalso activate(S, Mode),
            Record;
        {sctp_error, S, _IP, _Port, Record} ->
            Record;
        {sctp_passive, S} ->
            activate(S, Mode),
            passive
    end.

obey(<<"eof">>, S, Id, _) ->
    ok = gen_sctp:eof(S, #sctp_assoc_change{assoc_id=Id});
obey(<<"abort">>, S, Id, _) ->
    ok = gen_sctp:abort(S, #sctp_assoc_change{assoc_id=Id});
obey(<<"peel off">>, S, Id, _) ->
    {ok, Own} = gen_sctp:peeloff(S, Id),
    ok = gen_sctp:send(Own, Id, 0, <<"peeled off">>),
    Pid = spawn_link(fun() -> receive go -> loop(own, Own, "passive") end end),
    ok = gen_sctp:controlling_process(Own, Pid),
    Pid ! go;
obey(Data, S, Id, #sctp_sndrcvinfo{stream=Stream, ppid=Ppid}) ->
    send(S, #sctp_sndrcvinfo{assoc_id=Id, stream=Stream, ppid=Ppid}, Data).

%% Until OTP 26.2.5 send does not wait for room.
send(S, Info, Data) ->
    case gen_sctp:send(S, Info, Data) of
        {error, eagain} -> timer:sleep(1), send(S, Info, Data);
        ok -> ok
    end.

%% Receives with Erlang's gen_sctp in {active, 100}.
%% Reads commands, one a line, and answers each with a line:
%%
%%     open KIND RCVBUF  open a socket that listens on 127.0.0.1; answers its port
%%     accept            wait for the association, and peel it off if KIND is "channel"
%%     receive COUNT     receive COUNT messages; answers the nanoseconds that it took
%%     close             abort
-module(gen_sctp_receiver).
-export([main/0]).

-include_lib("kernel/include/inet_sctp.hrl").

main() ->
    commands(undefined, undefined).

commands(Socket, Kind) ->
    case io:get_line("") of
        eof -> halt();
        Line -> command(string:lexemes(Line, " \n"), Socket, Kind)
    end.

command(["open", Kind, Buffer], _, _) ->
    {ok, Socket} = gen_sctp:open([{ip, {127, 0, 0, 1}}, {active, false}, {mode, binary},
                                  {recbuf, list_to_integer(Buffer)}, {buffer, 65536},
                                  {linger, {true, 0}}]),
    ok = gen_sctp:listen(Socket, true),
    {ok, Port} = inet:port(Socket),
    answer(Port),
    commands(Socket, Kind);
command(["accept"], Socket, Kind) ->
    {ok, {_, _, _, #sctp_assoc_change{state = comm_up, assoc_id = Id}}} = gen_sctp:recv(Socket),
    Own = case Kind of
              "channel" ->
                  {ok, Peeled} = gen_sctp:peeloff(Socket, Id),
                  ok = gen_sctp:close(Socket),
                  Peeled;
              "endpoint" ->
                  Socket
          end,
    answer(0),
    commands(Own, Kind);
command(["receive", Count], Socket, Kind) ->
    Started = erlang:monotonic_time(nanosecond),
    ok = inet:setopts(Socket, [{active, 100}]),
    receive_messages(Socket, list_to_integer(Count)),
    Nanoseconds = erlang:monotonic_time(nanosecond) - Started,
    ok = inet:setopts(Socket, [{active, false}]),
    receive {sctp_passive, Socket} -> ok after 0 -> ok end,
    answer(Nanoseconds),
    commands(Socket, Kind);
command(["close"], Socket, _) ->
    ok = gen_sctp:close(Socket),
    answer(0),
    commands(undefined, undefined).

receive_messages(_, 0) ->
    ok;
receive_messages(Socket, Left) ->
    receive
        {sctp, Socket, _, _, {[#sctp_sndrcvinfo{}], Data}} when is_binary(Data) ->
            receive_messages(Socket, Left - 1);
        {sctp, Socket, _, _, {_, _Event}} ->
            receive_messages(Socket, Left);
        {sctp_passive, Socket} ->
            ok = inet:setopts(Socket, [{active, 100}]),
            receive_messages(Socket, Left)
    end.

answer(Number) ->
    io:format("~b~n", [Number]).

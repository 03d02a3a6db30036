%% A socket with any options, driven through standard input: each line is a call but for its first
%% argument, which is the socket, such as {inet,setopts,[[{sctp_nodelay,true}]]}. It prints the
%% results, numbered from 1, and every record it receives, after the address that it came from.
-module(options).

-export([run/1, set_and_get/3]).

run([Options]) ->
    {ok, S} = gen_sctp:open([{recbuf, 65536}, {active, true} | parse(Options)]),
    {ok, Port} = inet:port(S),
    io:format("port ~w~n", [Port]),
    Self = self(),
    spawn(fun() -> read_calls(Self) end),
    loop(S, 1).

parse(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

read_calls(Pid) ->
    case io:read('') of
        {ok, Call} -> Pid ! {call, Call}, read_calls(Pid);
        eof -> Pid ! no_more_calls
    end.

loop(S, N) ->
    receive
        {call, {Module, Function, Arguments}} ->
            Result = (catch apply(Module, Function, [S | Arguments])),
            io:format("result ~w ~0p~n", [N, Result]),
            loop(S, N + 1);
        {Sctp, S, IP, _Port, Record} when Sctp == sctp; Sctp == sctp_error ->
            io:format("record ~0p ~0p~n", [IP, Record]),
            loop(S, N);
        no_more_calls ->
            init:stop()
    end.

%% On a new socket.
set_and_get(_S, Option, Name) ->
    {ok, S} = gen_sctp:open(),
    ok = inet:setopts(S, [Option]),
    Result = inet:getopts(S, [Name]),
    ok = gen_sctp:close(S),
    Result.

"""Small complete programs, which are run as in ``python -m examples.demo``.

demo             events, credit, batches, peeling off and ending, in three scenes
server           prints everything that arrives           (the first example of gen_sctp's manual)
client           streams, an error, an abort              (the second; talks to ``server``)
connect_init     two associations started without waiting (the third)
calculator       a small service and its client
test_calculator  tests of it on a simulated network

What most programs need, in 25 lines each:

echo             an echo server in a nursery
retrying         connecting with a timeout, again and again, with longer and longer pauses
draining         a server that ends gracefully on SIGTERM
chat             one socket, many members, and credit
resending        a client that comes back, and sends again what was not delivered
failover         a client that tells of its paths while it receives
relay            back-pressure from one association to another; the upstream may refuse
test_echo        a protocol test in virtual time
"""

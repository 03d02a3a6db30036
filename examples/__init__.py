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
chat             one socket, a stream for each room, and credit
resending        a client that comes back, and sends again what was not delivered
failover         a client that tells of its paths while it receives
relay            back-pressure from one association to another; the upstream may refuse
test_echo        a protocol test in virtual time

Programs of the field, which can be read in five minutes each:

m3ua_application_server   an ASP and a signalling gateway: up, active, heartbeats, DATA by SLS
diameter_peer             capabilities, the watchdog, and taking leave, on both sides
ng_setup                  a gNB and an AMF with messages by pycrate; a path may fail
file_transfer             a file over parallel streams, with a checksum
failover_demo             a path is cut, and nothing is lost; it runs anywhere
"""

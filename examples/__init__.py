"""Small complete programs, which are run as in ``python -m examples.demo``.

demo             events, credit, batches, peeling off and ending, in three scenes
server           prints everything that arrives           (the first example of gen_sctp's manual)
client           streams, an error, an abort              (the second; talks to ``server``)
connect_init     two associations started without waiting (the third)
calculator       a small service and its client
test_calculator  tests of it on a simulated network
"""

"""Small complete programs.  Run one with ``python -m examples.demo``.

demo          the whole in three scenes: events, credit, batches, peeling off, ending
server        prints everything that arrives          (the first example of gen_sctp's manual)
client        streams, an error, an abort             (the second; talks to ``server``)
connect_init  two associations started without waiting (the third)
"""

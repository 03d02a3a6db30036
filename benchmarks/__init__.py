"""How fast trio_sctp is, beside what else a Python or Erlang program could use.

    python -m benchmarks native     the data path alone, on any Linux
    python -m benchmarks engine     the userland engine, without a network
    python -m benchmarks udp        the userland stack over UDP
    python -m benchmarks scale      thousands of its associations
    python -m benchmarks kernel     the whole of it, on a kernel that has SCTP

What counts are ratios: between things measured in the same run, in turns and in random order.
Absolute numbers are there for orientation; in a User Mode Linux guest, where a system call takes
some 20 µs, they mean little.

    receivers.py   the ways to receive that are compared
    measuring.py   rounds, medians and tables
    engine.py      both ends in one process
    udp.py         two processes; ends.py, udp_ours.py, udp_aiortc.py and udp_usrsctp.py are they
    scale.py       a server and its clients; scale_ends.py is either
    native.py      a socket pair in the place of the SCTP socket
    kernel.py      real associations; sender.py and gen_sctp_receiver.erl are its other programs
"""

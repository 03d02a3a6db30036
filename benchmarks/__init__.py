"""How fast trio_sctp is, compared with what else a Python or Erlang program could use.

    python -m benchmarks native     the data path alone, on any Linux
    python -m benchmarks engine     the userland engine, without a network
    python -m benchmarks udp        the userland stack over UDP
    python -m benchmarks scale      thousands of associations of the userland stack
    python -m benchmarks kernel     the kernel stack, on a kernel that has SCTP

With ``--page`` each of them also writes its tables into docs/speed.md.

    python -m benchmarks.delayed    the userland stack with delay and loss, beside another checkout

The ratios are what counts: they compare things measured in the same run, in turns and in random
order.  Absolute numbers are there for orientation; in a User Mode Linux guest, where a system call
takes some 20 µs, they mean little.

    receivers.py   the ways to receive that are compared
    measuring.py   rounds, medians and tables
    page.py        the page that shows the tables
    engine.py      both ends in one process
    udp.py         two processes: ends.py, and udp_ours.py, udp_aiortc.py or udp_usrsctp.py
    scale.py       a server and its clients; scale_ends.py is both of these programs
    native.py      a socket pair instead of the SCTP socket
    delayed.py     two processes, delayed_ends.py, with delay_line.py between them
    kernel.py      real associations; sender.py and gen_sctp_receiver.erl are its other programs
"""

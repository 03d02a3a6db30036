"""The userland stack: the engine on real sockets, in real time.

    userland  the stack and its tasks: what `userland` runs, and the default without kernel SCTP
    carrier   the operating system's sockets, UDP or raw IP, that carry its packets
    stack     sockets for `trio_sctp._socket`, made of engines
    options   how each option type is read and written there

`trio_sctp.testing` puts the same `stack` on a simulated network.
"""

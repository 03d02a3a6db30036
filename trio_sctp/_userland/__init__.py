"""The userland stack: the engine on real sockets, in real time.

    userland  `userland`, and the stack that is the default where the kernel has no SCTP
    carrier   sockets of the operating system that carry its packets
    stack     sockets for `trio_sctp._socket`, made of engines
    options   how each option type is read and written there

`trio_sctp.testing` puts the same `stack` on a simulated network.
"""

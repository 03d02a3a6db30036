"""One SCTP socket under Trio, of which the public objects are faces.

    socket    its queue and its associations: connecting, peeling off, closing
    settings  its options: what each may be set for, what a refusal means
    sender    sending on it: who waits, whose turn it is
    tcb       what is known of an association
    reader    who reads it, for all who wait

A stack supplies what is underneath (`trio_sctp._stack`).
"""

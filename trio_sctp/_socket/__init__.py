"""One SCTP socket under Trio, of which the public objects are faces.

    opening   opened by a stack, or made by somebody else and taken over
    socket    its associations: connecting, peeling off, ending; subscribing and closing
    settings  its options: what each may be set for, what a refusal means
    sender    sending on it: who waits, whose turn it is
    reader    who reads it, for all who wait
    intake    what arrives: made into records and changes of associations
    tcb       what is known of an association
    queue     records that were read and not taken; who takes them
    waiter    a task that waits for something on it

A stack supplies what is underneath (`trio_sctp._stack`).
"""

"""One SCTP socket under Trio, of which the public objects are faces.

    unclosed  what a program has lost without closing it
    credit    active mode: records are delivered against credit
    opening   how it comes to be: opened by a stack, or taken over from somebody else
    socket    its associations: connecting, peeling off, ending; subscribing and closing
    settings  its options: what each may be set for, what a refusal means
    sender    sending on it: what is refused, and which task has its turn
    reader    which waiting task reads the stack, on behalf of all
    intake    what arrives: made into records and changes of associations
    journal   what the log says of associations
    tcb       what is known of an association
    requests  resetting and adding streams, as tasks ask for it in turn
    queue     records that were read and not taken, and the task that takes them
    waiter    a task that waits for records, or for an association's state

A stack supplies what is underneath (`trio_sctp._stack`).
"""

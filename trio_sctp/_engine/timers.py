"""The timers of an association, as places in a list of deadlines; those of a path are the path's.

The rooms of an association share the list: each sets its own timers in it, and the association
walks over all of them.
"""

from __future__ import annotations

from math import inf
from typing import Final

SACK: Final = 0  # a SACK is due (6.2)
T1: Final = 1  # T1-init, T1-cookie (5.1)
T5: Final = 2  # T5-shutdown-guard (9.2)
T2: Final = 3  # T2-shutdown (9.2)
AUTOCLOSE: Final = 4
PROBE: Final = 5  # an unconfirmed address is to be probed (5.4)
LIFE: Final = 6  # the peer has not shown that it is there
WINDOW: Final = 7  # the peer's window is shut, and is to be probed (6.1 A)
RECONFIG: Final = 8  # a request is to be sent again, or may be sent only then (RFC 6525, 5.1.1)
T4: Final = 9  # an ASCONF is to be answered (RFC 5061 section 5.1)


def stopped() -> list[float]:
    """Return the timers of an association, of which none runs."""
    return [inf] * 10

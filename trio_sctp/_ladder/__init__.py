"""Ladders: message sequence charts of SCTP packets, from a capture or from a simulation.

    capture       packets out of a file that tshark, tcpdump or this package has written
    svg           a chart as a picture
    text          a chart as lines of text
    chart         packets into a chart: hosts, their lines, and an arrow for each packet
    associations  which association a packet belongs to
    flows         what one side of an association sends, and what became of it
    chunks        what stands beside an arrow for each chunk
    extensions    the chunks that RFCs beside 9260 have added

A chart is data.  What it says stands in one place, whatever it is drawn as.
"""

from __future__ import annotations

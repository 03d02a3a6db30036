"""TSNs, which wrap around on the wire and never inside."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from trio_sctp._engine.tsn import MASK, unwrap

NEAR = st.integers(0, 2**40)


@given(NEAR, st.integers(-(2**31), 2**31 - 1))
@example(2**32, -1)
@example(2**32 - 1, 1)
@example(0, -(2**31))
def test_within_half_of_the_numbers_it_is_the_same_again(near: int, distance: int) -> None:
    assert unwrap((near + distance) & MASK, near) == near + distance


@given(NEAR, st.integers(0, MASK))
def test_its_lower_bits_are_those_on_the_wire(near: int, wire: int) -> None:
    assert unwrap(wire, near) & MASK == wire
    assert -(2**31) <= unwrap(wire, near) - near < 2**31

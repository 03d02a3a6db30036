"""The table of events agrees with the subscription, its documentation and the classes of events."""

from __future__ import annotations

import dataclasses
import json
import re
import typing

import pytest

from trio_sctp import (
    AssociationState,
    EventSubscription,
    PathState,
    PeerAddressState,
    StatusState,
    UnknownEvent,
)
from trio_sctp._options import EVENTS, EventType
from trio_sctp._values import Notification


def test_every_field_of_the_subscription_has_its_row() -> None:
    fields = dataclasses.fields(EventSubscription)
    assert [row.field for row in EVENTS] == [field.name for field in fields]


def test_the_numbers_of_states_are_those_of_linux() -> None:
    for states, names in {
        AssociationState: "COMM_UP COMM_LOST RESTART SHUTDOWN_COMP CANT_ASSOC",
        PeerAddressState: "ADDR_AVAILABLE ADDR_UNREACHABLE ADDR_REMOVED ADDR_ADDED ADDR_MADE_PRIM"
        " ADDR_CONFIRMED ADDR_POTENTIALLY_FAILED",
        PathState: "INACTIVE POTENTIALLY_FAILED ACTIVE UNCONFIRMED",
        StatusState: "EMPTY CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_PENDING"
        " SHUTDOWN_SENT SHUTDOWN_RECEIVED SHUTDOWN_ACK_SENT",
    }.items():
        assert {name: int(state) for name, state in states.__members__.items()} == {
            name: number for number, name in enumerate(names.split())
        }


@pytest.mark.parametrize("kind", typing.get_args(Notification))
def test_a_record_is_made_by_keywords_and_is_not_changed(kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    with pytest.raises(TypeError):
        kind(*names)
    record = kind(**dict.fromkeys(names))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, names[0], 1)


def test_every_event_but_the_unknown_can_be_subscribed_to() -> None:
    events = {*typing.get_args(Notification)} - {UnknownEvent}
    assert {row.event for row in EVENTS} == events
    assert len(EVENTS) == len(events)


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.field)
def test_help_names_the_event_and_whether_it_is_on(row: EventType) -> None:
    state = "On" if row.default else "Off"
    line = f"{row.field}: `{row.event.__name__}`.  {state} by default."
    assert re.search(rf"^ *{re.escape(line)}$", EventSubscription.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{AssociationState.COMM_UP}", "COMM_UP"),
        (str(StatusState.ESTABLISHED), "ESTABLISHED"),
        (f"{PathState.ACTIVE:>10}", "    ACTIVE"),
        (f"{PeerAddressState.ADDR_CONFIRMED:<16}|", "ADDR_CONFIRMED  |"),
        (f"{AssociationState.COMM_UP:d} {PathState.ACTIVE:#x} {PathState.ACTIVE:03b}", "0 0x2 010"),
        (f"{AssociationState.COMM_LOST!r}", "<AssociationState.COMM_LOST: 1>"),
        (str(json.dumps(AssociationState.COMM_LOST)), "1"),
    ],
)
def test_a_state_prints_as_its_name(text: str, shown: str) -> None:
    assert text == shown

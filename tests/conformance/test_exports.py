"""The names of the contract, and what they promise at a glance."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import pickle
import pydoc
import re
import typing
from types import ModuleType
from typing import Any

import pytest
import trio

import trio_sctp
import trio_sctp.testing

EVENTS = [
    "AssociationChange",
    "PeerAddressChange",
    "RemoteError",
    "SendFailed",
    "ShutdownReceived",
    "AdaptationIndication",
    "PartialDeliveryAborted",
    "AuthenticationChange",
    "SenderDry",
    "StreamReset",
    "AssociationReset",
    "StreamChange",
]
OPTIONS = [
    "InitMsg",
    "RtoInfo",
    "NoDelay",
    "EventSubscription",
    "SendBuffer",
    "ReceiveBuffer",
    "Status",
]
VALUES = [*EVENTS, *OPTIONS, "Passive", "Message", "AssociationEnd", "StackReport", "Window"]
ENUMS = ["AssociationState", "PeerAddressState"]
ERRORS = ["AssociationLost", "ConnectFailed", "StackUnavailable", "OptionUnsupported"]
OBJECTS = ["Endpoint", "Association", "AssociationChannel", "Listener", "Inbox"]
OPENERS = ["open_endpoint", "open_association", "open_listener", "serve"]
OTHERS = ["stacks", "error_string"]

ALIASES = ["Hosts", "Port", "Address", "Mode", "Record", "Stack"]

NAMES = [*VALUES, *ENUMS, *ERRORS, *OBJECTS, *OPENERS, *OTHERS, *ALIASES, "ONCE"]
DOCUMENTED = [name for name in NAMES if name not in [*ALIASES, "ONCE"]]

MODULES = [trio_sctp, trio_sctp.testing]
CLASSES_AND_FUNCTIONS = [
    pytest.param(module, name, id=f"{module.__name__}.{name}")
    for module in MODULES
    for name in module.__all__
    if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name))
]
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
each_class_and_function = pytest.mark.parametrize(("module", "name"), CLASSES_AND_FUNCTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_is_exported(name: str) -> None:
    assert name in trio_sctp.__all__
    assert hasattr(trio_sctp, name)


@each_module
def test_all_is_what_is_public(module: ModuleType) -> None:
    public = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    ]
    assert sorted(module.__all__) == sorted(public)


@each_module
def test_importing_everything_gives_what_all_says(module: ModuleType) -> None:
    names: dict[str, Any] = {}
    exec(f"from {module.__name__} import *", names)
    assert names.keys() - {"__builtins__"} == set(module.__all__)


@each_class_and_function
def test_a_public_name_is_of_the_module_that_it_is_imported_from(
    module: ModuleType, name: str
) -> None:
    assert getattr(module, name).__module__ == module.__name__


@each_class_and_function
def test_a_public_name_can_be_pickled(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    pickled = pickle.dumps(value)
    assert b"._" not in pickled  # A pickle outlives the file that the name is written in.
    assert pickle.loads(pickled) is value


@each_class_and_function
def test_annotations_of_public_names_can_be_resolved(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    hints = typing.get_type_hints(value)
    assert hints.keys() >= inspect.get_annotations(value).keys()


@each_class_and_function
def test_the_source_of_public_functions_and_methods_is_found(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    functions = [value] if inspect.isfunction(value) else vars(value).values()
    for function in functions:
        # What a decorator made, dataclasses' methods among it, has no file, or another's.
        if inspect.isfunction(function) and "trio_sctp" in function.__code__.co_filename:
            assert f"def {function.__name__}" in inspect.getsource(function)


@each_module
def test_help_lists_every_public_class_and_function(module: ModuleType) -> None:
    sections = dict(re.findall(r"^([A-Z]+)\n(.*?)(?=^\S|\Z)", help_on(module), re.M | re.S))
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            assert re.search(rf"^    class {name}\b", sections["CLASSES"], re.M)
        elif inspect.isfunction(value):
            assert re.search(rf"^    (async )?{name}\b", sections["FUNCTIONS"], re.M)


def help_on(module: ModuleType) -> str:
    return pydoc.plain(pydoc.render_doc(module))


@pytest.mark.parametrize(
    "value",
    [
        trio_sctp.RtoInfo(max=5000),
        trio_sctp.NoDelay(True),
        trio_sctp.PeerAddressParams(flags=trio_sctp.PeerAddressFlags.HB_DEMAND),
        trio_sctp.EventSubscription(sender_dry_event=True),
        trio_sctp.PrimaryAddress(("192.0.2.1", 2905)),
        trio_sctp.Window(100),
        trio_sctp.ONCE,
        trio_sctp.Passive(),
        trio_sctp.SenderDry(association_id=7),
        trio_sctp.AssociationEnd(
            association_id=7, state=trio_sctp.AssociationState.COMM_LOST, cause=12, reason=b"x"
        ),
        trio_sctp.PathState.ACTIVE,
        trio_sctp.StatusState.ESTABLISHED,
        trio_sctp.StackReport(name="kernel", available=True, reason="", remedy=""),
        trio_sctp.testing.Link(delay=0.01, loss=0.1),
        trio_sctp.testing.Delivery(b"x", "192.0.2.1", "192.0.2.2", 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_can_be_pickled(value: object) -> None:
    again = pickle.loads(pickle.dumps(value))
    assert again == value
    assert type(again) is type(value)
    assert repr(again) == repr(value)


def test_reprs_name_no_module() -> None:
    assert repr(trio_sctp.NoDelay(True)) == "NoDelay(enabled=True)"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_has_a_docstring_of_its_own(name: str) -> None:
    doc = vars(getattr(trio_sctp, name)).get("__doc__") or getattr(trio_sctp, name).__doc__
    assert doc
    assert not doc.startswith(f"{name}(")  # What dataclasses write when nobody else does.


@pytest.mark.parametrize("name", [*OBJECTS])
def test_every_public_method_has_a_docstring(name: str) -> None:
    kind = getattr(trio_sctp, name)
    public = [attribute for attribute in vars(kind) if not attribute.startswith("_")]
    assert [a for a in public if not inspect.getdoc(getattr(kind, a))] == []


@pytest.mark.parametrize("name", VALUES)
def test_values_are_frozen_dataclasses(name: str) -> None:
    kind: Any = getattr(trio_sctp, name)
    assert dataclasses.is_dataclass(kind)
    assert vars(kind)["__dataclass_params__"].frozen


@pytest.mark.parametrize("name", VALUES)
def test_values_have_slots(name: str) -> None:
    kind = getattr(trio_sctp, name)
    assert "__slots__" in vars(kind)
    assert not hasattr(kind, "__dict__") or not any("__dict__" in vars(k) for k in kind.__mro__)


@pytest.mark.parametrize("name", VALUES)
def test_values_are_keyword_only_beyond_two_fields(name: str) -> None:
    positional = [f for f in dataclasses.fields(getattr(trio_sctp, name)) if not f.kw_only]
    assert len(positional) <= 2


@pytest.mark.parametrize(
    ("name", "positional"),
    [
        ("InitMsg", []),
        ("RtoInfo", []),
        ("AssocParams", []),
        ("PeerAddressParams", []),
        ("PeerAddressInfo", []),
        ("Status", []),
        ("PrStatus", []),
        ("DefaultSendParams", []),
        ("EventSubscription", []),
        ("EncapsulationPort", ["port", "address"]),
        ("DelayedAck", ["delay", "freq"]),
        ("Linger", ["enabled", "seconds"]),
        ("StackReport", []),
        ("AssociationEnd", []),
        ("AssociationStatistics", []),
        ("UserlandStatistics", []),
        ("SocketStatistics", []),
        ("Backoff", []),
        ("Window", ["size"]),
    ],
)
def test_which_fields_may_be_given_by_position(name: str, positional: list[str]) -> None:
    kind = getattr(trio_sctp, name)
    assert [f.name for f in dataclasses.fields(kind) if not f.kw_only] == positional
    parameters = inspect.signature(kind).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == positional


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_tells_its_association(name: str) -> None:
    assert "association_id" in {f.name for f in dataclasses.fields(getattr(trio_sctp, name))}


@pytest.mark.parametrize("name", ENUMS)
def test_enums(name: str) -> None:
    assert issubclass(getattr(trio_sctp, name), enum.Enum)


def test_association_states_are_in_gen_sctps_words() -> None:
    assert {state.name for state in trio_sctp.AssociationState} >= {
        "COMM_UP",
        "COMM_LOST",
        "RESTART",
        "SHUTDOWN_COMP",
        "CANT_ASSOC",
    }


def test_peer_address_states_are_in_gen_sctps_words() -> None:
    assert {state.name for state in trio_sctp.PeerAddressState} >= {
        "ADDR_AVAILABLE",
        "ADDR_UNREACHABLE",
        "ADDR_REMOVED",
        "ADDR_ADDED",
        "ADDR_MADE_PRIM",
        "ADDR_CONFIRMED",
    }


def test_message_has_the_fields_of_the_contract() -> None:
    assert [field.name for field in dataclasses.fields(trio_sctp.Message)] == [
        "data",
        "stream",
        "ppid",
        "unordered",
        "association_id",
        "address",
        "ssn",
        "tsn",
        "cumulative_tsn",
        "context",
        "mid",
    ]


def test_values_work_in_match() -> None:
    event = trio_sctp.AssociationChange(
        association_id=7,
        state=trio_sctp.AssociationState.COMM_UP,
        error=0,
        outbound_streams=1,
        inbound_streams=1,
    )
    match event:
        case trio_sctp.AssociationChange(
            association_id=id, state=trio_sctp.AssociationState.COMM_UP
        ):
            assert id == 7
        case _:
            pytest.fail("did not match")


def test_objects_are_trios() -> None:
    assert issubclass(trio_sctp.Endpoint, trio.abc.AsyncResource)
    assert issubclass(trio_sctp.AssociationChannel, trio_sctp.Association)
    assert issubclass(trio_sctp.AssociationChannel, trio.abc.SendChannel)
    assert issubclass(trio_sctp.AssociationChannel, trio.abc.ReceiveChannel)
    assert issubclass(trio_sctp.Inbox, trio.abc.ReceiveChannel)
    assert issubclass(trio_sctp.Listener, trio.abc.Listener)


@pytest.mark.parametrize("name", ["receive", "receive_batch", "active", "__aiter__"])
def test_receiving_exists_only_where_there_is_a_queue(name: str) -> None:
    assert not hasattr(trio_sctp.Association, name)
    assert hasattr(trio_sctp.AssociationChannel, name)


def test_errors_are_of_their_families() -> None:
    assert issubclass(trio_sctp.AssociationLost, trio.BrokenResourceError)
    assert issubclass(trio_sctp.ConnectFailed, OSError)
    assert issubclass(trio_sctp.StackUnavailable, OSError)


@pytest.mark.parametrize("name", OPENERS)
def test_openers_take_the_arguments_of_the_contract(name: str) -> None:
    parameters = inspect.signature(getattr(trio_sctp, name)).parameters
    assert {"options", "stack", "max_message_size"} <= set(parameters)
    assert "timeout" not in parameters
    assert parameters["max_message_size"].default == 16 * 2**20


@pytest.mark.parametrize("name", ["Endpoint", "AssociationChannel", "Listener"])
def test_adopters_take_a_bound_too(name: str) -> None:
    parameters = inspect.signature(getattr(trio_sctp, name).from_socket).parameters
    assert parameters["max_message_size"].default == 16 * 2**20


def test_the_backlog_is_128() -> None:
    for opener in (trio_sctp.open_listener, trio_sctp.serve):
        assert inspect.signature(opener).parameters["backlog"].default == 128


def test_error_string_explains_a_cause() -> None:
    assert "user" in trio_sctp.error_string(12).lower()
    assert "resource" in trio_sctp.error_string(4).lower()


def test_error_string_knows_every_cause_of_the_rfcs() -> None:
    known = {n for n in range(2**16) if "unknown" not in trio_sctp.error_string(n)}
    # RFC 9260 section 3.3.10 and RFC 6951 section 4; RFC 5061 section 4.3; RFC 4895 section 4
    assert known == {*range(15), *range(0xA0, 0xA5), 0x105}
    assert len({trio_sctp.error_string(n) for n in known}) == len(known)


def test_error_string_keeps_an_unknown_number() -> None:
    assert "54321" in trio_sctp.error_string(54321)


def test_stacks_reports_the_kernel() -> None:
    (kernel,) = (report for report in trio_sctp.stacks() if report.name == "kernel")
    assert kernel.reason or kernel.available
    assert bool(kernel.remedy) is not kernel.available


async def test_an_unknown_stack_is_named() -> None:
    with pytest.raises(ValueError, match="no-such-stack"):
        await trio_sctp.open_endpoint(stack="no-such-stack")

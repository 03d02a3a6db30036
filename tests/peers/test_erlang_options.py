"""Every option that a peer notices, between ours and Erlang's gen_sctp, set on either side.

Options and records of Erlang's are written as it prints them: a record is a tuple that starts with
its name, and `undefined` leaves a field as it is.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import subprocess
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
import trio

import trio_sctp
from trio_sctp import (
    AdaptationIndication,
    AdaptationLayer,
    Association,
    AssociationChange,
    AssociationState,
    AssocParams,
    AutoClose,
    DefaultSendParams,
    DelayedAck,
    DisableFragments,
    DontRoute,
    Endpoint,
    EventSubscription,
    InitMsg,
    Linger,
    MappedV4,
    MaxSegment,
    Message,
    NoDelay,
    Option,
    PeerAddressChange,
    PeerAddressFlags,
    PeerAddressParams,
    PeerAddressState,
    PrimaryAddress,
    Priority,
    ReceiveBuffer,
    RtoInfo,
    SendBuffer,
    SendFailed,
    SetPeerPrimaryAddress,
    ShutdownReceived,
    StatusState,
    Tos,
)

from .conftest import HOST, PATIENCE, USER_ABORT, Erlang, Peer, take

pytestmark = [pytest.mark.kernel, pytest.mark.peer("erl", "erlc")]

SECOND_HOST = "127.0.0.2"
HOST_TERM, SECOND_TERM = "{127,0,0,1}", "{127,0,0,2}"
BOTH_TERMS = (f"{{ip,{HOST_TERM}}}", f"{{ip,{SECOND_TERM}}}")
U = "undefined"
WITHIN = 5000  # milliseconds, of a lifetime that does not end


@dataclasses.dataclass(frozen=True)
class CommUp:
    """What gen_sctp says of an association that is up."""

    outbound_streams: int
    inbound_streams: int
    id: int


@dataclasses.dataclass
class GenSctp:
    """A gen_sctp socket in a process of its own."""

    peer: Peer
    port: int
    calls: int = 0
    ups: int = 0

    async def call(self, function: str, *arguments: str) -> str:
        """Call ``module:function`` with the socket as its first argument; give the result."""
        self.calls += 1
        module, name = function.split(":")
        await self.peer.write(f"{{{module},{name},[{','.join(arguments)}]}}.\n".encode())
        return await self.peer.expect(f"result {self.calls} ")

    async def do(self, function: str, *arguments: str) -> None:
        """Call what has to be well."""
        assert await self.call(function, *arguments) == "ok", str(self.peer)

    async def set(self, *options: str) -> None:
        await self.do("inet:setopts", f"[{','.join(options)}]")

    async def get(self, option: str) -> str:
        match = re.fullmatch(r"\{ok,\[\{\w+,(.*)\}\]\}", await self.call("inet:getopts", option))
        assert match is not None, str(self.peer)
        return match[1]

    async def comm_up(self) -> CommUp:
        """Wait until the next association is up."""
        self.ups += 1
        rest = await self.peer.expect(*["{sctp_assoc_change,comm_up,0,"] * self.ups)
        return CommUp(*map(int, re.findall(r"\d+", rest)))

    async def gives(self, *events: str) -> None:
        """Wait until it has received these events, in this order."""
        await self.peer.expect(*(f"{{[],{{sctp_{event}" for event in events))


class OpenGenSctp(Protocol):
    def __call__(self, *options: str) -> Awaitable[GenSctp]: ...


@pytest.fixture
def gen_sctp(erlang: Erlang) -> OpenGenSctp:
    """Open a gen_sctp socket with these options; without an address it is bound to `HOST`."""

    async def start(*options: str) -> GenSctp:
        if not any(option.startswith("{ip,") for option in options):
            options = (f"{{ip,{HOST_TERM}}}", *options)
        peer = await erlang("options", "run", f"[{','.join(options)}]")
        return GenSctp(peer, int(await peer.expect("port ")))

    return start


async def connect(
    endpoint: Endpoint, erl: GenSctp, *, options: Sequence[Option] = ()
) -> tuple[Association, CommUp]:
    """Set up an association; give it as both sides know it."""
    await erl.do("gen_sctp:listen", "true")
    association = await endpoint.connect(HOST, erl.port, options=options)
    return association, await erl.comm_up()


async def be_connected(
    endpoint: Endpoint, erl: GenSctp, *options: str
) -> tuple[Association, CommUp]:
    """Have Erlang set up an association."""
    endpoint.listen()
    port = str(endpoint.port)
    await erl.do("gen_sctp:connect_init", HOST_TERM, port, f"[{','.join(options)}]")
    up = await take(endpoint, AssociationChange)
    assert up.state is AssociationState.COMM_UP
    return endpoint.associations[up.association_id], await erl.comm_up()


def assoc_change(theirs: CommUp) -> str:
    """What gen_sctp's eof and abort take for an association."""
    return f"{{sctp_assoc_change,comm_up,0,0,0,{theirs.id}}}"


def send_info(id: int, stream: int, flags: str, ppid: int = 0, *, context: int = 0) -> str:
    """What gen_sctp sends with; what is only known of messages received is left out."""
    fields = f"{stream},{U},{flags},{ppid},{context},{WITHIN},{U},{U},{id}"
    return f"{{sctp_sndrcvinfo,{fields}}}"


async def take_end(endpoint: Endpoint) -> AssociationState | int:
    return (await take(endpoint, AssociationChange)).state


async def path_change(endpoint: Endpoint, state: PeerAddressState) -> PeerAddressChange:
    """Receive changes of paths until one is of this state: two addresses report a few more."""
    while (change := await take(endpoint, PeerAddressChange)).state is not state:
        pass
    return change


# -- streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["open", "connect", "server"])
async def test_each_side_counts_the_streams_of_the_other(gen_sctp: OpenGenSctp, where: str) -> None:
    ours = [InitMsg(num_ostreams=30, max_instreams=5)]
    initmsg = f"{{sctp_initmsg,{{sctp_initmsg,12,8,{U},{U}}}}}"
    erl = await gen_sctp(*[] if where == "server" else [initmsg])
    at_open = [] if where == "connect" else ours
    async with await trio_sctp.open_endpoint(hosts=HOST, options=at_open) as endpoint:
        if where == "server":
            association, theirs = await be_connected(endpoint, erl, initmsg)
        else:
            at_connect = ours if where == "connect" else []
            association, theirs = await connect(endpoint, erl, options=at_connect)
        assert (association.outbound_streams, association.inbound_streams) == (8, 5)
        assert (theirs.outbound_streams, theirs.inbound_streams) == (5, 8)

        status = association.status()
        assert (status.state, status.outstrms, status.instrms) == (StatusState.ESTABLISHED, 8, 5)
        unknown = ",".join([U] * 8)
        read = await erl.get(f"[{{sctp_status,{{sctp_status,{theirs.id},{unknown}}}}}]")
        assert re.match(
            rf"{{sctp_status,{theirs.id},established,\d+,0,0,8,5,\d+,"
            rf"{{sctp_paddrinfo,{theirs.id},{{{{127,0,0,1}},{endpoint.port}}},active,",
            read,
        ), read


async def test_a_message_to_a_new_peer_asks_for_streams(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    await erl.do("gen_sctp:listen", "true")
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        await endpoint.send(b"x", (HOST, erl.port), init=InitMsg(num_ostreams=7), stream=6)
        theirs = await erl.comm_up()
        assert theirs.inbound_streams == 7
        await erl.peer.expect("comm_up", "{[{sctp_sndrcvinfo,6,0,[],0,", '<<"x">>}')


# -- messages --------------------------------------------------------------------------------


async def test_what_we_send_with(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    of_the_socket = DefaultSendParams(stream=2, ppid=46, unordered=True, lifetime=WITHIN)
    async with await trio_sctp.open_endpoint(hosts=HOST, options=[of_the_socket]) as endpoint:
        association, _ = await connect(endpoint, erl)
        await association.send(b"default of the socket")
        await erl.peer.expect(
            "{[{sctp_sndrcvinfo,2,", "[unordered],46,", '<<"default of the socket">>}'
        )
        association.set_option(DefaultSendParams(stream=3, ppid=2**32 - 1, unordered=False))
        await association.send(b"default of the association")
        await erl.peer.expect(
            "{[{sctp_sndrcvinfo,3,0,[],4294967295,", '<<"default of the association">>}'
        )
        await association.send(
            b"all given", stream=9, ppid=18, unordered=True, context=5, lifetime=WITHIN
        )
        await erl.peer.expect("{[{sctp_sndrcvinfo,9,", "[unordered],18,", '<<"all given">>}')
        await endpoint.send(b"some given", association, stream=0, ppid=0)
        await erl.peer.expect("{[{sctp_sndrcvinfo,0,0,[],0,", '<<"some given">>}')


async def test_what_erlang_sends_with(gen_sctp: OpenGenSctp) -> None:
    def default(id: int, flags: str, ppid: int) -> str:
        return f"{{sctp_default_send_param,{send_info(id, 0, flags, ppid)}}}"

    erl = await gen_sctp(default(0, "[unordered]", 46))
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        _, theirs = await be_connected(endpoint, erl)

        async def sent(*arguments: str) -> tuple[int, int, bool]:
            await erl.do("gen_sctp:send", *arguments, '<<"x">>')
            message = await take(endpoint, Message)
            assert message.data == b"x"
            return message.stream, message.ppid, message.unordered

        id = str(theirs.id)
        # Erlang itself takes the default's flags and ppid, and the stream as it is given.
        assert await sent(id, "7") == (7, 46, True)
        await erl.set(default(theirs.id, "[]", 2**32 - 1))
        assert await sent(id, "1") == (1, 2**32 - 1, False)
        assert await sent(send_info(theirs.id, 9, "[unordered]", 18)) == (9, 18, True)


async def test_ours_that_expires_or_fails_comes_back(gen_sctp: OpenGenSctp) -> None:
    """The context comes back, and the lifetime is kept."""
    erl = await gen_sctp("{recbuf,4096}")
    defaults = DefaultSendParams(stream=4, ppid=46, context=1)
    async with await trio_sctp.open_endpoint(hosts=HOST, options=[defaults]) as endpoint:
        association, theirs = await connect(endpoint, erl)
        await erl.set("{active,false}")
        # It does not read now: what goes beyond its window waits here.
        for _ in range(32):
            await association.send(bytes(1000))
        await association.send(b"too late", lifetime=1, context=2)
        await association.send(b"in time", lifetime=2**32 - 1)
        await trio.sleep(0.1)  # The lifetime, which nothing tells of, is over.
        await erl.set("{active,true}")
        failed = await take(endpoint, SendFailed)
        assert (failed.data, failed.sent, failed.context) == (b"too late", False, 2)
        assert (failed.stream, failed.ppid, failed.unordered) == (4, 46, False)
        await erl.peer.expect('<<"in time">>}')
        assert b"too late" not in erl.peer.output

        await erl.set("{active,false}")
        for number in range(32):
            await association.send(bytes(1000), context=100 + number)
        await erl.do("gen_sctp:abort", assoc_change(theirs))
        end = await association.wait_ended()
        assert end.state is AssociationState.COMM_LOST
        assert [one.context for one in end.undelivered][-2:] == [130, 131]


async def test_theirs_that_fails_comes_back(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    options = [ReceiveBuffer(4096)]
    async with await trio_sctp.open_endpoint(hosts=HOST, options=options) as endpoint:
        association, theirs = await connect(endpoint, erl)
        # Nobody reads here: what goes beyond the window waits there.
        for number in range(32):
            info = send_info(theirs.id, 4, "[unordered]", 46, context=100 + number)
            await erl.do("gen_sctp:send", info, "<<0:8000>>")
        association.abort()
        await erl.gives(f"assoc_change,comm_lost,{USER_ABORT},")
        rest = await erl.peer.expect("{sctp_send_failed,false,", ",46,131,")
        assert rest.endswith(f",{theirs.id}}},{theirs.id},{bytes_term(1000)}}}}}")


def bytes_term(size: int) -> str:
    return f"<<{','.join(['0'] * size)}>>"


@pytest.mark.parametrize(
    ("options", "chunks"),
    [
        ([], 1),
        ([MaxSegment(600)], 9),
        ([NoDelay(False), MaxSegment(600)], 9),
        ([DisableFragments(True)], 1),
    ],
    ids=["default", "segments", "nagle", "one packet"],
)
async def test_ours_arrives_whole(
    gen_sctp: OpenGenSctp, options: list[Option], chunks: int
) -> None:
    erl = await gen_sctp()
    async with await trio_sctp.open_endpoint(hosts=HOST, options=options) as endpoint:
        association, _ = await connect(endpoint, erl)
        if DisableFragments(True) in options:
            with pytest.raises(ValueError, match="too large"):
                await association.send(bytes(association.status().fragmentation_point + 1))
        await association.send(bytes(5000), stream=1)
        await association.send(b"small", stream=2)
        large = await erl.peer.expect("{[{sctp_sndrcvinfo,1,0,[],0,0,0,")
        assert large.endswith(f"}}],{bytes_term(5000)}}}")
        small = await erl.peer.expect("{[{sctp_sndrcvinfo,2,0,[],0,0,0,")
        assert small.endswith('}],<<"small">>}')
        # Each chunk has a number of its own; that of a message is its first one's.
        first, after = (int(text.partition(",")[0]) for text in (large, small))
        assert (after - first) % 2**32 == chunks


async def test_theirs_arrives_whole(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp("{sctp_maxseg,600}", "{sctp_nodelay,true}")
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        _, theirs = await be_connected(endpoint, erl)
        await erl.do("gen_sctp:send", str(theirs.id), "1", "<<0:40000>>")
        large = await take(endpoint, Message)
        assert large.data == bytes(5000)
        await erl.set("{sctp_disable_fragments,true}")
        refused = await erl.call("gen_sctp:send", str(theirs.id), "1", "<<0:40000>>")
        assert refused == "{error,emsgsize}"
        await erl.do("gen_sctp:send", str(theirs.id), "1", '<<"small">>')
        small = await take(endpoint, Message)
        assert small.data == b"small"
        assert (small.tsn - large.tsn) % 2**32 == 9


# -- how it ends -----------------------------------------------------------------------------


async def test_we_abort_in_every_way(gen_sctp: OpenGenSctp) -> None:
    async def by_handle(association: Association) -> None:
        association.abort(b"seen enough")

    async def by_endpoint(association: Association) -> None:
        endpoint.abort(association.id, b"seen enough")

    async def by_message(association: Association) -> None:
        await association.send(b"seen enough", abort=True)

    async def by_message_of_endpoint(association: Association) -> None:
        await endpoint.send(b"seen enough", (HOST, erl.port), abort=True)

    erl = await gen_sctp()
    lost = f"assoc_change,comm_lost,{USER_ABORT},0,0,"
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        for abort in by_handle, by_endpoint, by_message, by_message_of_endpoint:
            association, theirs = await connect(endpoint, erl)
            await abort(association)
            end = await association.wait_ended()
            assert (end.cause, end.reason) == (12, b"seen enough")
            await erl.gives(f"{lost}{theirs.id}}}")
            assert await take_end(endpoint) is AssociationState.COMM_LOST

        _, theirs = await connect(endpoint, erl)
        endpoint.set_option(Linger(True, 0))
        await endpoint.aclose()
        await erl.gives(f"{lost}{theirs.id}}}")


async def test_theirs_that_is_too_large_ends_in_an_abort(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    async with await trio_sctp.open_endpoint(hosts=HOST, max_message_size=1000) as endpoint:
        association, theirs = await connect(endpoint, erl)
        await erl.do("gen_sctp:send", str(theirs.id), "0", "<<0:8000>>")
        await erl.do("gen_sctp:send", str(theirs.id), "0", "<<0:8008>>")
        assert len((await take(endpoint, Message)).data) == 1000
        change = await take(endpoint, AssociationChange)
        assert change.state is AssociationState.COMM_LOST
        assert (await association.wait_ended()).reason == b"message larger than 1000 bytes"
        await erl.gives(f"assoc_change,comm_lost,{USER_ABORT},0,0,{theirs.id}}}")


async def test_what_exceeds_the_backlog_is_aborted(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    async with (
        await trio_sctp.open_listener(0, hosts=HOST, backlog=1) as listener,
        await trio_sctp.open_association(HOST, listener.port),
        await trio_sctp.open_association(HOST, listener.port),
    ):
        await erl.do("gen_sctp:connect_init", HOST_TERM, str(listener.port), "[]")
        theirs = await erl.comm_up()
        async with await listener.accept():
            await erl.gives(f"assoc_change,comm_lost,{USER_ABORT},0,0,{theirs.id}}}")


async def test_erlang_aborts_in_every_way(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()

    async def by_abort(theirs: CommUp) -> None:
        await erl.do("gen_sctp:abort", assoc_change(theirs))

    async def by_message(theirs: CommUp) -> None:
        await erl.do("gen_sctp:send", send_info(theirs.id, 0, "[abort]"), '<<"seen enough">>')

    async def by_linger(theirs: CommUp) -> None:
        await erl.set("{linger,{true,0}}")
        await erl.do("gen_sctp:close")

    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        for abort, reason in (by_abort, b""), (by_message, b"seen enough"), (by_linger, b""):
            association, theirs = await be_connected(endpoint, erl)
            await abort(theirs)
            change = await take(endpoint, AssociationChange)
            assert (change.state, change.error) == (AssociationState.COMM_LOST, 12)
            assert change.reason == reason
            end = await association.wait_ended()
            assert (end.state, end.cause, end.reason) == (change.state, 12, reason)


async def test_our_last_message_comes_before_the_end(gen_sctp: OpenGenSctp) -> None:
    async def with_the_message(association: Association) -> None:
        await association.send(b"last", eof=True)

    async def with_the_message_of_endpoint(association: Association) -> None:
        await endpoint.send(b"last", association, eof=True)

    async def after_the_message(association: Association) -> None:
        await association.send(b"last")
        await endpoint.eof(association)

    erl = await gen_sctp()
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        for end in with_the_message, with_the_message_of_endpoint, after_the_message:
            association, theirs = await connect(endpoint, erl)
            await end(association)
            assert await take_end(endpoint) is AssociationState.SHUTDOWN_COMP
            await erl.peer.expect(
                f',{theirs.id}}}],<<"last">>}}',
                f"{{[],{{sctp_shutdown_event,{theirs.id}}}",
                f"{{[],{{sctp_assoc_change,shutdown_comp,0,0,0,{theirs.id}}}",
            )


async def test_our_autoclose(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    async with await trio_sctp.open_endpoint(hosts=HOST, options=[AutoClose(1)]) as endpoint:
        association, theirs = await connect(endpoint, erl)
        await erl.gives(
            f"shutdown_event,{theirs.id}}}", f"assoc_change,shutdown_comp,0,0,0,{theirs.id}}}"
        )
        assert await take_end(endpoint) is AssociationState.SHUTDOWN_COMP
        assert (await association.wait_ended()).graceful


async def test_their_autoclose(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp("{sctp_autoclose,1}")
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        association, theirs = await be_connected(endpoint, erl)
        await take(endpoint, ShutdownReceived)
        assert await take_end(endpoint) is AssociationState.SHUTDOWN_COMP
        assert (await association.wait_ended()).graceful
        await erl.gives(f"assoc_change,shutdown_comp,0,0,0,{theirs.id}}}")


# -- addresses -------------------------------------------------------------------------------


@pytest.fixture
def second_host() -> Iterator[str]:
    """A second address, from which what is sent to it comes too: so one sees which way it took."""
    subprocess.run(f"ip address add {SECOND_HOST}/32 dev lo".split(), check=True)
    try:
        yield SECOND_HOST
    finally:
        subprocess.run(f"ip address delete {SECOND_HOST}/32 dev lo".split(), check=True)


async def connect_twofold(endpoint: Endpoint, erl: GenSctp) -> tuple[Association, CommUp]:
    """Set up an association between two addresses each, all of them confirmed by heartbeats."""
    association, theirs = await connect(endpoint, erl)
    demand = PeerAddressFlags.HB_DEMAND
    second = (SECOND_HOST, erl.port)
    association.set_option(PeerAddressParams(address=second, flags=demand))
    change = await path_change(endpoint, PeerAddressState.ADDR_CONFIRMED)
    assert change.address == second
    address = f"{{{SECOND_TERM},{endpoint.port}}}"
    params = f"{theirs.id},{address},{U},{U},{U},{U},[hb_demand]"
    await erl.set(f"{{sctp_peer_addr_params,{{sctp_paddrparams,{params}}}}}")
    await erl.gives(f"paddr_change,{address},addr_confirmed,")
    return association, theirs


async def test_we_choose_the_primary_addresses(gen_sctp: OpenGenSctp, second_host: str) -> None:
    erl = await gen_sctp(*BOTH_TERMS)
    async with await trio_sctp.open_endpoint(hosts=[HOST, second_host]) as endpoint:
        association, theirs = await connect_twofold(endpoint, erl)
        await association.send(b"x", stream=1)
        await erl.peer.expect(f"record {HOST_TERM} {{[{{sctp_sndrcvinfo,1,")

        second = PrimaryAddress((second_host, erl.port))
        association.set_option(second)
        change = await path_change(endpoint, PeerAddressState.ADDR_MADE_PRIM)
        assert change.address == second.address
        assert endpoint.get_option(PrimaryAddress, association) == second
        await association.send(b"x", stream=2)
        await erl.peer.expect(f"record {SECOND_TERM} {{[{{sctp_sndrcvinfo,2,")
        await association.send(b"x", stream=3, address=(HOST, erl.port))
        await erl.peer.expect(f"record {HOST_TERM} {{[{{sctp_sndrcvinfo,3,")

        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"x">>')
        assert (await take(endpoint, Message)).address == (HOST, erl.port)
        association.set_option(SetPeerPrimaryAddress((second_host, endpoint.port)))
        address = f"{{{SECOND_TERM},{endpoint.port}}}"
        await erl.gives(f"paddr_change,{address},addr_made_prim,0,{theirs.id}}}")
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"x">>')
        assert (await take(endpoint, Message)).address == (second_host, erl.port)


async def test_erlang_chooses_the_primary_addresses(
    gen_sctp: OpenGenSctp, second_host: str
) -> None:
    erl = await gen_sctp(*BOTH_TERMS)
    async with await trio_sctp.open_endpoint(hosts=[HOST, second_host]) as endpoint:
        association, theirs = await connect_twofold(endpoint, erl)
        address = f"{{{SECOND_TERM},{endpoint.port}}}"
        await erl.set(f"{{sctp_primary_addr,{{sctp_prim,{theirs.id},{address}}}}}")
        await erl.gives(f"paddr_change,{address},addr_made_prim,0,{theirs.id}}}")
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"x">>')
        assert (await take(endpoint, Message)).address == (second_host, erl.port)

        address = f"{{{SECOND_TERM},{erl.port}}}"
        await erl.set(f"{{sctp_set_peer_primary_addr,{{sctp_setpeerprim,{theirs.id},{address}}}}}")
        change = await path_change(endpoint, PeerAddressState.ADDR_MADE_PRIM)
        assert change.address == (second_host, erl.port)
        assert association.get_option(PrimaryAddress).address == (second_host, erl.port)
        assert [path.address for path in association.paths() if path.primary] == [change.address]
        await association.send(b"x", stream=2)
        await erl.peer.expect(f"record {SECOND_TERM} {{[{{sctp_sndrcvinfo,2,")


async def test_our_addresses_come_and_go(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        association, theirs = await connect(endpoint, erl)
        change = f"paddr_change,{{{SECOND_TERM},{endpoint.port}}}"
        endpoint.add_address(SECOND_HOST)
        await erl.gives(f"{change},addr_added,0,{theirs.id}}}")
        endpoint.remove_address(SECOND_HOST)
        await erl.gives(f"{change},addr_removed,0,{theirs.id}}}")
        assert association.local_addresses == [(HOST, endpoint.port)]
        await association.send(b"still there")
        await erl.peer.expect('<<"still there">>')


async def test_an_ipv6_socket_of_ours(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    options = [MappedV4(True)]
    async with await trio_sctp.open_endpoint(hosts="::", options=options) as endpoint:
        association, theirs = await connect(endpoint, erl)
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"mapped">>')
        message = await take(endpoint, Message)
        assert message.address == ("::ffff:127.0.0.1", erl.port, 0, 0)
        endpoint.set_option(MappedV4(False))
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"not mapped">>')
        assert (await take(endpoint, Message)).address == (HOST, erl.port)
        await association.send(b"from IPv6")
        await erl.peer.expect(f"record {HOST_TERM} {{[{{", '<<"from IPv6">>')


async def test_an_ipv6_socket_of_theirs(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp("inet6", "{ip,{0,0,0,0,0,0,0,0}}", "{sctp_i_want_mapped_v4_addr,true}")
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        association, theirs = await connect(endpoint, erl)
        await association.send(b"x", stream=1)
        await erl.peer.expect("record {0,0,0,0,0,65535,32512,1} {[{sctp_sndrcvinfo,1,")
        await erl.set("{sctp_i_want_mapped_v4_addr,false}")
        await association.send(b"x", stream=2)
        await erl.peer.expect(f"record {HOST_TERM} {{[{{sctp_sndrcvinfo,2,")
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"from IPv6">>')
        assert (await take(endpoint, Message)).address == (HOST, erl.port)


# -- events ----------------------------------------------------------------------------------


@pytest.mark.parametrize("we_are", ["client", "server"])
async def test_each_side_is_told_the_adaptation_of_the_other(
    gen_sctp: OpenGenSctp, we_are: str
) -> None:
    others = ",".join([U] * 7)
    erl = await gen_sctp(
        f"{{sctp_adaptation_layer,{{sctp_setadaptation,{0x9ABC_DEF0}}}}}",
        f"{{sctp_events,{{sctp_event_subscribe,{others},true,{U}}}}}",
    )
    options = [AdaptationLayer(0x1234_5678), EventSubscription(adaptation_layer_event=True)]
    async with await trio_sctp.open_endpoint(hosts=HOST, options=options) as endpoint:
        set_up = connect if we_are == "client" else be_connected
        association, theirs = await set_up(endpoint, erl)
        indication = await take(endpoint, AdaptationIndication)
        # Erlang brings the bytes into network order, and back, though Linux does that itself.
        assert indication == AdaptationIndication(
            association_id=association.id, adaptation_ind=socket.htonl(0x9ABC_DEF0)
        )
        await erl.gives(f"adaptation_event,{socket.htonl(0x1234_5678)},{theirs.id}}}")


async def test_what_erlang_subscribes_to_is_its_own_affair(gen_sctp: OpenGenSctp) -> None:
    nothing = ",".join(["false"] * 8)
    erl = await gen_sctp(f"{{sctp_events,{{sctp_event_subscribe,true,{nothing}}}}}")
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        endpoint.listen()
        await erl.do("gen_sctp:connect_init", HOST_TERM, str(endpoint.port), "[]")
        change = await take(endpoint, AssociationChange)
        assert change.state is AssociationState.COMM_UP
        await endpoint.send(b"x", change.association_id)
        found = re.match(r".*,(\d+)}\],<<\"x\">>", await erl.peer.expect("{[{sctp_sndrcvinfo,"))
        assert found is not None
        await erl.do("gen_sctp:eof", assoc_change(CommUp(0, 0, int(found[1]))))
        await take(endpoint, ShutdownReceived)
        assert await take_end(endpoint) is AssociationState.SHUTDOWN_COMP
        await erl.call("inet:getstat")
        assert erl.peer.output.count(b"record") == 1


async def test_what_we_subscribe_to_is_our_own_affair(gen_sctp: OpenGenSctp) -> None:
    erl = await gen_sctp()
    options = [EventSubscription(association_event=False, shutdown_event=False)]
    async with await trio_sctp.open_endpoint(hosts=HOST, options=options) as endpoint:
        association, theirs = await connect(endpoint, erl)
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"first">>')
        await erl.do("gen_sctp:eof", assoc_change(theirs))
        assert (await association.wait_ended()).graceful
        await erl.gives(f"assoc_change,shutdown_comp,0,0,0,{theirs.id}}}")
        _, theirs = await connect(endpoint, erl)
        await erl.do("gen_sctp:send", str(theirs.id), "0", '<<"second">>')
        # Nothing stands between the messages.
        assert (await take(endpoint, Message)).data == b"first"
        assert (await take(endpoint, Message)).data == b"second"


# -- what both read --------------------------------------------------------------------------


ANY_ADDRESS = "{{0,0,0,0},0}"
SAME: list[tuple[Option, str]] = [
    (RtoInfo(initial=700, max=9000, min=50), "{sctp_rtoinfo,{sctp_rtoinfo,0,700,9000,50}}"),
    (RtoInfo(max=8000), f"{{sctp_rtoinfo,{{sctp_rtoinfo,0,{U},8000,{U}}}}}"),
    (
        AssocParams(asocmaxrxt=4, cookie_life=30000),
        f"{{sctp_associnfo,{{sctp_assocparams,0,4,{U},{U},{U},30000}}}}",
    ),
    (
        InitMsg(num_ostreams=3, max_instreams=4, max_attempts=5, max_init_timeo=6000),
        "{sctp_initmsg,{sctp_initmsg,3,4,5,6000}}",
    ),
    (InitMsg(max_instreams=7), f"{{sctp_initmsg,{{sctp_initmsg,{U},7,{U},{U}}}}}"),
    (
        PeerAddressParams(
            hbinterval=5000,
            pathmaxrxt=3,
            sackdelay=150,
            flags=PeerAddressFlags.HB_ENABLE | PeerAddressFlags.SACKDELAY_ENABLE,
        ),
        f"{{sctp_peer_addr_params,{{sctp_paddrparams,0,{ANY_ADDRESS},5000,3,0,150,"
        "[hb_enable,sackdelay_enable]}}",
    ),
    (
        PeerAddressParams(
            pathmtu=1400, flags=PeerAddressFlags.PMTUD_DISABLE | PeerAddressFlags.HB_DISABLE
        ),
        f"{{sctp_peer_addr_params,{{sctp_paddrparams,0,{ANY_ADDRESS},0,0,1400,0,"
        "[hb_disable,pmtud_disable]}}",
    ),
    # Erlang's sctp_delayed_ack_time is EINVAL, without a system call, where it is not built in.
    (
        DelayedAck(delay=120),
        f"{{sctp_peer_addr_params,{{sctp_paddrparams,0,{ANY_ADDRESS},0,0,0,120,"
        "[sackdelay_enable]}}",
    ),
    (MaxSegment(900), "{sctp_maxseg,900}"),
    (NoDelay(True), "{sctp_nodelay,true}"),
    (DisableFragments(True), "{sctp_disable_fragments,true}"),
    (AutoClose(17), "{sctp_autoclose,17}"),
    (AdaptationLayer(17), "{sctp_adaptation_layer,{sctp_setadaptation,17}}"),
    (Linger(True, 3), "{linger,{true,3}}"),
    (SendBuffer(50_000), "{sndbuf,50000}"),
    (ReceiveBuffer(60_000), "{recbuf,60000}"),
    (Tos(0x48), "{tos,72}"),
    (Priority(3), "{priority,3}"),
    (DontRoute(True), "{dontroute,true}"),
    (MappedV4(False), "{sctp_i_want_mapped_v4_addr,false}"),
]


@pytest.fixture(scope="module")
def read_by_erlang(beams: Path) -> dict[str, list[int]]:
    """What gen_sctp reads after it has set one of these options on a new socket."""
    calls = [f"{{options,set_and_get,[{term},{name_of(term)}]}}.\n" for _, term in SAME]
    command = ["erl", "-noshell", "-env", "ERL_CRASH_DUMP_BYTES", "0", "-pa", str(beams)]
    ran = subprocess.run(
        [*command, "-run", "options", "run", "[]"],
        input="".join(calls),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=PATIENCE,
    )
    results = re.findall(r"result \d+ \{ok,\[\{\w+,(.*)\}\]\}", ran.stdout)
    assert len(results) == len(SAME), ran.stdout
    return {term: numbers(text) for (_, term), text in zip(SAME, results, strict=True)}


def name_of(term: str) -> str:
    return term[1:].partition(",")[0]


def numbers(text: str) -> list[int]:
    """The values in a term, flags joined; without the association and the address that mean any."""
    text = re.sub(r"\{sctp_(rtoinfo|assocparams|paddrparams),0,", "", text).replace(ANY_ADDRESS, "")
    for flags in re.findall(r"\[(.*)\]", text):
        number = sum(PeerAddressFlags[name.upper()].value for name in flags.split(","))
        text = text.replace(f"[{flags}]", str(number))
    words = re.findall(r"\b(?:\d+|true|false)\b", text)
    return [int(word) if word.isdigit() else word == "true" for word in words]


@pytest.mark.parametrize(("option", "term"), SAME, ids=[type(one).__name__ for one, _ in SAME])
async def test_both_read_the_same(
    read_by_erlang: dict[str, list[int]], option: Option, term: str
) -> None:
    # What it sets is a field of these, see the table.
    kind = PeerAddressParams if isinstance(option, DelayedAck) else type(option)
    async with await trio_sctp.open_endpoint() as endpoint:
        endpoint.set_option(option)
        read = endpoint.get_option(kind)
        values = [getattr(read, field.name) for field in dataclasses.fields(read)]
        assert [int(value) for value in values if isinstance(value, int)] == read_by_erlang[term]

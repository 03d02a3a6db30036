"""What the engine sends, as Wireshark's dissector reads it."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
from collections.abc import Callable
from math import inf
from pathlib import Path
from random import Random

import pytest

from trio_sctp._engine import Engine, Parameters, Route, wire
from trio_sctp._engine.wire import Cause, ChunkType, ParameterType, Tlv
from trio_sctp._options import StatusState
from trio_sctp._values import ReconfigurationKind, ReconfigurationRequest, SendInfo
from trio_sctp.testing import Network

CLIENT, SERVER = 1000, 2000
CLIENT_HOSTS = ["192.0.2.1", "2001:db8::1"]
SERVER_HOSTS = ["192.0.2.2", "2001:db8::2"]

HOST_NAME = Tlv(ParameterType.HOST_NAME, b"host.example\0")

FIELDS = ["sctp.checksum.status", "sctp.chunk_type", "sctp.cause_code", "_ws.malformed"]
GOOD = "1"


class Session:
    """Two engines in virtual time; each packet is captured as it leaves one of them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.random = Random(1)
        self.now = 0.0
        self.server = self._engine(SERVER, SERVER_HOSTS)
        self.client = self._engine(CLIENT, CLIENT_HOSTS)

    def _engine(self, port: int, hosts: list[str]) -> Engine:
        engine = Engine(
            port,
            hosts,
            parameters=Parameters(adaptation_indication=7),
            randomness=self.random.randbytes,
        )
        engine.listening = True
        return engine

    def restart_client(self, *more_hosts: str) -> None:
        """Replace the client by one that has lost all associations."""
        self.client = self._engine(CLIENT, [*CLIENT_HOSTS, *more_hosts])

    def connect(self) -> int:
        id = self.client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0])], SERVER, self.now)
        self.run()
        return id

    def run(self, seconds: float = 1.0) -> None:
        end = self.now + seconds
        while True:
            for engine in (self.client, self.server):
                for data, route, tos, _ in engine.packets_to_send():
                    self.network.transmit(data, route.local, route.remote, self.now, tos=tos)
            times = [
                self.network.next_deadline(),
                self.client.next_deadline(),
                self.server.next_deadline(),
            ]
            earliest = min((time for time in times if time is not None), default=inf)
            if earliest > end:
                self.now = end
                return
            self.now = max(self.now, earliest)
            for data, source, destination, _, tos in self.network.deliver(self.now):
                engine = self.client if destination in self.client.addresses else self.server
                engine.receive_packet(data, Route(destination, source), self.now, tos & 3 == 3)
            self.client.handle_timeout(self.now)
            self.server.handle_timeout(self.now)

    def send(
        self,
        id: int,
        data: bytes,
        stream: int = 0,
        *,
        ppid: int = 0,
        unordered: bool = False,
        lifetime: int = 0,
    ) -> None:
        self.client.send(id, data, SendInfo(stream, ppid, unordered, 0, lifetime), self.now)

    def forge(self, *chunks: bytes, tag: int | None = None) -> None:
        """Give the server a packet that no engine sends."""
        if tag is None:
            (association,) = self.server.associations.values()
            tag = association.our_tag
        packet = wire.seal(CLIENT, SERVER, tag, chunks)
        self.server.receive_packet(packet, Route(SERVER_HOSTS[0], CLIENT_HOSTS[0]), self.now)
        self.run()

    def forget(self) -> None:
        """Have both engines lose all their associations."""
        self.server = self._engine(SERVER, SERVER_HOSTS)
        self.restart_client()


def transfer(session: Session) -> None:
    """Send messages of all sizes with loss, heartbeats, a message given up, and a shutdown."""
    id = session.connect()
    link = session.network.link(CLIENT_HOSTS[0], SERVER_HOSTS[0])
    link.loss, link.duplication, link.reordering = 0.1, 0.1, 0.1
    for size in [*range(1, 20), 1000, 1252, 1253, 10_000, 100_000]:
        session.send(id, bytes(size), stream=size % 10, ppid=0x80000000 + size)
        session.send(id, bytes(size), unordered=True)
        session.run()
        session.server.receive(1000, session.now)
    session.run(60.0)
    link.loss = 1.0
    session.send(id, bytes(5000), stream=1, lifetime=10)
    session.send(id, bytes(5000), stream=2, lifetime=10)
    session.run(0.5)
    link.loss = link.duplication = link.reordering = 0.0
    session.run(60.0)
    session.client.shutdown(id, session.now)
    session.run(60.0)
    assert not session.client.associations
    assert not session.server.associations


def errors(session: Session) -> None:
    """Provoke ERROR chunks: what was sent makes no sense, but ends nothing."""
    id = session.connect()
    session.client.associations[id].outbound_streams = 65535
    session.send(id, b"on no stream", stream=60_000)
    session.run()
    session.forge(wire.chunk(0xFD, b"unknown"))
    session.forge(wire.chunk(0x7D, b"unknown"))
    session.client.abort(id, b"enough", session.now)
    session.run()
    # The dissector wants padding inside the last report; RFC 9260 counts none there.
    unknown = [Tlv(0xC123, b"odd"), Tlv(0x4123, b"even")]
    session.forge(wire.init_chunk(wire.Init(9, 2**16, 5, 5, 1, unknown)), tag=0)


def aborts(session: Session) -> None:
    """Provoke ABORT chunks, each with another cause."""
    init = wire.Init(9, 2**16, 5, 5, 1, [])
    for tag, chunk in (
        (None, wire.chunk(ChunkType.DATA, struct.pack("!IHHI", 1, 0, 0, 0))),
        (None, wire.chunk(ChunkType.SACK, b"short")),
        (None, wire.sack_chunk(5, 2**16, [], [])),
        (0, wire.init_chunk(dataclasses.replace(init, inbound_streams=0))),
        (0, wire.init_chunk(dataclasses.replace(init, parameters=[HOST_NAME]))),
    ):
        session.connect()
        session.forge(chunk, tag=tag)
        session.forget()
    session.connect()
    session.restart_client("192.0.2.11", "2001:db8::11")
    session.connect()
    session.forget()

    session.client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0])], SERVER, session.now)
    (sent,) = session.client.packets_to_send()
    packet = wire.parse_packet_untrusted(sent.data)
    assert isinstance(packet, wire.Packet)
    (first,) = packet.chunks
    assert isinstance(first, wire.Init)
    ack = wire.InitAck(9, 2**16, 5, 5, 1, [])  # without a cookie
    answer = wire.seal(SERVER, CLIENT, first.tag, [wire.init_chunk(ack)])
    session.client.receive_packet(answer, Route(CLIENT_HOSTS[0], SERVER_HOSTS[0]), session.now)
    session.run()


def first_data(session: Session) -> None:
    """Send user data with the COOKIE ECHO, and probes of the path MTU."""
    session.client.parameters.path_mtu_discovery = True
    id = session.client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0])], SERVER, session.now)
    session.send(id, b"at once")
    session.run()
    assert session.server.status(1).unackdata == 0
    session.send(id, bytes(10_000))
    session.run()
    assert session.client.status(id).primary.mtu == 1500


def out_of_the_blue(session: Session) -> None:
    """Send packets of no association, which are answered with their own tag."""
    session.forge(wire.chunk(ChunkType.SHUTDOWN_ACK), tag=5)
    session.forge(wire.shutdown_chunk(5), tag=5)
    session.server.listening = False
    session.connect()


def late_cookies(session: Session) -> None:
    """Send a stale cookie, and one that comes when a shutdown is almost done."""
    session.network.link(CLIENT_HOSTS[0], SERVER_HOSTS[0]).delay = 61.0
    session.client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0])], SERVER, session.now)
    session.run(200.0)
    session.network.link(CLIENT_HOSTS[0], SERVER_HOSTS[0]).delay = 0.0
    session.run(300.0)
    session.forget()

    id = session.connect()
    session.restart_client()
    session.client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0])], SERVER, session.now)
    held: list[tuple[bytes, Route]] = []
    for _ in range(2):  # the INIT, and the COOKIE ECHO, which is held back
        for packet in session.client.packets_to_send():
            kind = packet.data[12]
            reverse = Route(packet.route.remote, packet.route.local)
            session.network.transmit(
                packet.data, packet.route.local, packet.route.remote, session.now
            )
            session.network.deliver(session.now)
            if kind == ChunkType.COOKIE_ECHO:
                held.append((packet.data, reverse))
            else:
                session.server.receive_packet(packet.data, reverse, session.now)
        for packet in session.server.packets_to_send():
            session.network.transmit(
                packet.data, packet.route.local, packet.route.remote, session.now
            )
            session.network.deliver(session.now)
            back = Route(packet.route.remote, packet.route.local)
            session.client.receive_packet(packet.data, back, session.now)
    (association,) = session.server.associations.values()
    assert association.id == id
    tag = association.our_tag
    shutdown = wire.shutdown_chunk((association.outbound.next_tsn - 1) & 0xFFFFFFFF)
    session.server.receive_packet(
        wire.seal(CLIENT, SERVER, tag, [shutdown]), held[0][1], session.now
    )
    assert association.state is StatusState.SHUTDOWN_ACK_SENT
    session.server.receive_packet(*held[0], session.now)
    session.run(60.0)


def encapsulated(session: Session) -> None:
    """Restart from another UDP port (RFC 6951)."""
    ours = Route(SERVER_HOSTS[0], CLIENT_HOSTS[0], 9899, 9899)
    there = Route(CLIENT_HOSTS[0], SERVER_HOSTS[0], 9899, 9899)
    client = session.client
    client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0], 9899, 9899)], SERVER, session.now)
    for _ in range(2):
        for packet in client.packets_to_send():
            session.server.receive_packet(packet.data, ours, session.now)
        for packet in session.server.packets_to_send():
            client.receive_packet(packet.data, there, session.now)
    assert session.server.associations
    session.restart_client()
    session.client.connect([Route(CLIENT_HOSTS[0], SERVER_HOSTS[0])], SERVER, session.now)
    (init,) = session.client.packets_to_send()
    for _ in range(2):  # the old association is asked whether it lives, and it does
        session.server.receive_packet(init.data, ours._replace(remote_udp=9898), session.now)
        for packet in session.server.packets_to_send():
            network = session.network
            network.transmit(packet.data, SERVER_HOSTS[0], CLIENT_HOSTS[0], session.now)
            network.deliver(session.now)
            client.receive_packet(packet.data, there, session.now)
            for answer in client.packets_to_send():
                session.server.receive_packet(answer.data, ours, session.now)
    session.run()


def marked(session: Session) -> None:
    """Send on a link whose router marks packets (RFC 3168)."""
    for engine in session.client, session.server:
        engine.parameters.ecn = True
    link = session.network.link(CLIENT_HOSTS[0], SERVER_HOSTS[0])
    link.bandwidth, link.marking = 1e6, 0
    id = session.connect()
    for _ in range(20):
        session.send(id, bytes(1000))
    session.run(5.0)


def authenticated(session: Session) -> None:
    """Authenticate all that can be, with both algorithms, and answer one that was not offered."""
    for algorithms in (1,), (3, 1):
        for engine in session.client, session.server:
            engine.parameters.hmac_algorithms = algorithms
            engine.parameters.auth_chunks = (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 192)
        transfer(session)
    session.connect()
    session.forge(wire.auth_chunk(0, 9, bytes(20)))


def addresses(session: Session) -> None:
    """Add and delete addresses, and refuse that (RFC 5061)."""
    session.client.addresses[:] = CLIENT_HOSTS[:1]
    id = session.connect()
    for host in "192.0.2.11", "2001:db8::11":
        session.client.add_address(host, session.now)
    session.client.ask_for_primary(id, "192.0.2.11", session.now)
    session.client.remove_address(CLIENT_HOSTS[0], session.now)
    session.run(10.0)
    (association,) = session.server.associations.values()
    assert list(association.paths) == ["192.0.2.11", "2001:db8::11"]
    session.forget()

    session.client.addresses[:] = CLIENT_HOSTS[:1]
    for engine in session.client, session.server:
        engine.parameters.authentication = False
        engine.parameters.asconf_without_auth = True
        engine.parameters.max_peer_addresses = 2
    session.connect()
    (association,) = session.server.associations.values()
    changes = association.changes
    assert changes is not None
    own = wire.address_parameter(CLIENT_HOSTS[0])
    add, delete = wire.AsconfParameter.ADD_ADDRESS, wire.AsconfParameter.DELETE_ADDRESS
    for serial, (kind, host) in enumerate(
        [
            (delete, CLIENT_HOSTS[0]),
            (add, "192.0.2.12"),
            (delete, CLIENT_HOSTS[0]),
            (add, "192.0.2.13"),
            (add, "127.0.0.1"),
            (add, "224.0.0.1"),
            (0xC0CC, "192.0.2.14"),
        ],
        session.client.associations[1].outbound.next_tsn,
    ):
        request = Tlv(kind, bytes(4) + wire.tlv(*wire.address_parameter(host)))
        session.forge(wire.asconf_chunk(serial, own, [request]))
    session.forge(wire.asconf_ack_chunk(association.outbound.next_tsn))


def reconfigured(session: Session) -> None:
    """Reset and add streams in all ways, with loss, and refuse that (RFC 6525)."""
    for grants in 7, 0:
        session.client.parameters.grants = session.server.parameters.grants = grants
        id = session.connect()
        link = session.network.link(CLIENT_HOSTS[0], SERVER_HOSTS[0])
        link.loss = 0.1
        for kind, streams, added in (
            (ReconfigurationKind.RESET_OUTGOING, (), 0),
            (ReconfigurationKind.RESET_OUTGOING, (1, 2, 3), 0),
            (ReconfigurationKind.RESET_INCOMING, (1,), 0),
            (ReconfigurationKind.RESET_INCOMING, (), 0),
            (ReconfigurationKind.RESET_ASSOCIATION, (), 0),
            (ReconfigurationKind.ADD_OUTGOING, (), 5),
            (ReconfigurationKind.ADD_INCOMING, (), 5),
        ):
            session.send(id, bytes(3000), stream=1)
            request = ReconfigurationRequest(kind, streams, added)
            session.client.reconfigure(id, request, lambda result: None, session.now)
            session.run(5.0)
        link.loss = 0.0
        session.run(60.0)
        session.forge(wire.chunk(ChunkType.RE_CONFIG, b"nonsense"))
        session.forget()


SESSIONS: dict[Callable[[Session], None], set[int]] = {
    transfer: set(),
    errors: {Cause.INVALID_STREAM, Cause.UNRECOGNIZED_CHUNK, Cause.USER_INITIATED_ABORT},
    aborts: {
        Cause.NO_USER_DATA,
        Cause.PROTOCOL_VIOLATION,
        Cause.INVALID_PARAMETER,
        Cause.UNRESOLVABLE_ADDRESS,
        Cause.RESTART_WITH_NEW_ADDRESSES,
        Cause.MISSING_PARAMETER,
    },
    first_data: set(),
    authenticated: {Cause.UNSUPPORTED_HMAC},
    out_of_the_blue: set(),
    late_cookies: {Cause.STALE_COOKIE, Cause.COOKIE_WHILE_SHUTTING_DOWN},
    encapsulated: {Cause.RESTART_WITH_NEW_ENCAPSULATION_PORT},
    marked: set(),
    reconfigured: {Cause.PROTOCOL_VIOLATION},
}
"""What happens in a session, and the error causes that appear in it."""

CHUNKS: dict[Callable[[Session], None], set[int]] = {
    transfer: {
        ChunkType.DATA,
        ChunkType.INIT,
        ChunkType.INIT_ACK,
        ChunkType.SACK,
        ChunkType.HEARTBEAT,
        ChunkType.HEARTBEAT_ACK,
        ChunkType.SHUTDOWN,
        ChunkType.SHUTDOWN_ACK,
        ChunkType.COOKIE_ECHO,
        ChunkType.COOKIE_ACK,
        ChunkType.SHUTDOWN_COMPLETE,
        ChunkType.FORWARD_TSN,
    },
    errors: {ChunkType.ERROR, ChunkType.ABORT},
    aborts: {ChunkType.ABORT},
    first_data: {ChunkType.COOKIE_ECHO, ChunkType.DATA, ChunkType.PAD},
    authenticated: {ChunkType.AUTH, ChunkType.DATA, ChunkType.ERROR},
    out_of_the_blue: {ChunkType.ABORT, ChunkType.SHUTDOWN_COMPLETE},
    late_cookies: {ChunkType.ERROR},
    encapsulated: {ChunkType.ABORT},
    marked: {ChunkType.ECNE, ChunkType.CWR},
    reconfigured: {ChunkType.RE_CONFIG, ChunkType.DATA, ChunkType.ERROR},
}


@pytest.mark.peer("tshark")
@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.__name__)
def test_every_packet_is_well_formed(session: Callable[[Session], None], tmp_path: Path) -> None:
    file = tmp_path / "session.pcapng"
    network = Network(seed=1)
    with network.capture(file):
        session(Session(network))
    sent = sum(statistics.sent for statistics in network.statistics().values())

    fields = [word for field in FIELDS for word in ("-e", field)]
    command = ["tshark", "-r", str(file), "-o", "sctp.checksum:CRC 32c", "-T", "fields", *fields]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    chunks, causes = set[int](), set[int]()
    for line in lines:
        checksum, kinds, codes, malformed = line.split("\t")
        assert checksum == GOOD, line
        assert not malformed, line
        chunks.update(int(kind) for kind in kinds.split(","))
        causes.update(int(code, 0) for code in codes.split(",") if code)
    assert len(lines) == sent
    assert chunks >= CHUNKS[session]
    assert causes >= SESSIONS[session]

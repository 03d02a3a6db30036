"""Authenticated chunks (RFC 4895): who has to authenticate what, and with which key."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from trio_sctp import (
    ActiveKey,
    Association,
    AuthChunks,
    AuthenticationChange,
    AuthenticationState,
    AuthKey,
    AuthSupported,
    EventSubscription,
    HmacAlgorithm,
    HmacAlgorithms,
    LocalAuthChunks,
    Option,
    OptionUnsupported,
    PeerAuthChunks,
)

from .helpers import Pair, StackUnderTest

DATA, SACK, ABORT = 0, 3, 6
ASCONF = {0xC1, 0x80}
"""What a stack asks for by itself that takes ASCONF chunks (RFC 5061)."""
EVENTS = EventSubscription(authentication_event=True)
SECRET = b"what only both ends know"


async def test_user_data_that_has_to_be_authenticated(stack: StackUnderTest) -> None:
    options = [AuthChunks([DATA, SACK])]
    async with stack.channels(client_options=options, server_options=options) as (client, server):
        for size in 1, 10_000:
            await client.send(bytes(size))
            assert (await server.receive()).data == bytes(size)
            await server.send(bytes(size))
            assert (await client.receive()).data == bytes(size)
        await client.wait_sent()


async def test_what_each_end_asks_for_is_told(stack: StackUnderTest) -> None:
    options = [AuthChunks([ABORT]), AuthChunks([DATA])]
    async with stack.channels(client_options=options) as (client, server):
        asked = set(client.get_option(LocalAuthChunks).types)
        assert asked - ASCONF == {DATA, ABORT}
        assert set(server.get_option(PeerAuthChunks).types) == asked
        assert not set(client.get_option(PeerAuthChunks).types) - ASCONF
        assert not set(server.get_option(LocalAuthChunks).types) - ASCONF


async def test_what_an_endpoint_asks_for_is_for_associations_to_come(
    stack: StackUnderTest,
) -> None:
    async with stack.pair() as pair:
        before = pair.client.get_option(LocalAuthChunks)
        assert pair.association.get_option(LocalAuthChunks) == before
        pair.client.set_option(AuthChunks([DATA]))
        assert pair.client.get_option(LocalAuthChunks).types == (DATA, *before.types)
        assert pair.association.get_option(LocalAuthChunks) == before


@pytest.mark.parametrize(
    "algorithms",
    [
        [HmacAlgorithm.SHA_1],
        [HmacAlgorithm.SHA_1, HmacAlgorithm.SHA_256],
        [HmacAlgorithm.SHA_256, HmacAlgorithm.SHA_1],
    ],
)
async def test_the_algorithms_that_a_peer_may_use(
    stack: StackUnderTest, algorithms: list[HmacAlgorithm]
) -> None:
    options = [HmacAlgorithms(algorithms), AuthChunks([DATA])]
    async with stack.pair(server_options=options) as pair:
        assert pair.server.get_option(HmacAlgorithms) == HmacAlgorithms(algorithms)
        await pair.association.send(b"data")
        assert (await pair.server.receive()).data == b"data"  # type: ignore[union-attr]


async def test_messages_with_a_key_that_both_have(stack: StackUnderTest) -> None:
    options = [AuthChunks([DATA]), AuthKey(7, SECRET), ActiveKey(7)]
    async with stack.channels(client_options=options, server_options=options) as (client, server):
        assert client.get_option(ActiveKey) == ActiveKey(7)
        await client.send(b"there")
        await server.send(b"back")
        assert (await server.receive()).data == b"there"
        assert (await client.receive()).data == b"back"


async def test_messages_with_another_secret_do_not_arrive(stack: StackUnderTest) -> None:
    options = [AuthChunks([DATA]), AuthKey(1, SECRET)]
    wrong = [AuthKey(1, b"a guess")]
    async with stack.channels(client_options=wrong, server_options=options) as (client, server):
        client.set_option(ActiveKey(1))
        await client.send(b"wrong")
        client.set_option(ActiveKey(0))
        await client.send(b"right", unordered=True)
        assert (await server.receive()).data == b"right"


async def test_without_the_secret_that_key_0_was_given_nothing_arrives(
    stack: StackUnderTest,
) -> None:
    options = [AuthChunks([DATA]), AuthKey(0, SECRET)]
    async with stack.channels(server_options=options) as (client, server):
        await client.send(b"with an empty secret")
        client.set_option(AuthKey(0, SECRET))
        await client.send(b"with the secret", unordered=True)
        assert (await server.receive()).data == b"with the secret"


async def test_keys_change_while_messages_go_back_and_forth(stack: StackUnderTest) -> None:
    options = [AuthChunks([DATA]), EVENTS]
    async with (
        stack.channels(client_options=options, server_options=options) as (client, server),
        client.events() as events,
        server.events() as others,
    ):
        for key in 1, 2, 3:
            for end in client, server:
                end.set_option(AuthKey(key, SECRET + bytes([key])))
            client.set_option(ActiveKey(key))
            await client.send(b"with %d" % key)
            assert (await server.receive()).data == b"with %d" % key
            async for event in others:
                if isinstance(event, AuthenticationChange) and event.keynumber == key:
                    assert event.indication is AuthenticationState.NEW_KEY
                    break
            await client.wait_sent()
            client.deactivate_key(key - 1)
            async for event in events:
                if isinstance(event, AuthenticationChange):
                    assert event.keynumber == key - 1
                    assert event.indication is AuthenticationState.FREE_KEY
                    break
            client.delete_key(key - 1)
            if key > 1:
                server.delete_key(key - 1)
            with pytest.raises(ValueError, match=r"[Kk]ey"):
                client.set_option(ActiveKey(key - 1))


async def test_a_key_that_was_deleted_is_refused(stack: StackUnderTest) -> None:
    options = [AuthChunks([DATA]), AuthKey(1, SECRET)]
    async with stack.channels(client_options=options, server_options=options) as (client, server):
        server.delete_key(1)
        client.set_option(ActiveKey(1))
        await client.send(b"deleted")
        client.set_option(ActiveKey(0))
        await client.send(b"there", unordered=True)
        assert (await server.receive()).data == b"there"


async def test_an_endpoints_keys_are_for_associations_to_come(stack: StackUnderTest) -> None:
    async with stack.pair() as pair:
        pair.client.set_option(AuthKey(5, SECRET))
        pair.client.set_option(ActiveKey(5))
        assert pair.client.get_option(ActiveKey) == ActiveKey(5)
        assert pair.association.get_option(ActiveKey) == ActiveKey(0)
        pair.client.set_option(ActiveKey(0))
        pair.client.deactivate_key(5)
        pair.client.delete_key(5)
        with pytest.raises(ValueError, match=r"[Kk]ey"):
            pair.client.deactivate_key(5)
        pair.client.set_option(AuthKey(6, SECRET), pair.association)
        pair.client.deactivate_key(6, pair.association)
        pair.client.delete_key(6, pair.association.id)
        with pytest.raises(ValueError, match=r"[Kk]ey"):
            pair.association.delete_key(6)


async def test_a_listeners_keys_are_for_associations_to_come(stack: StackUnderTest) -> None:
    keys = [AuthKey(1, SECRET), AuthKey(2, SECRET)]
    async with stack.listener(options=[AuthChunks([DATA]), *keys]) as listener:
        before = await stack.open_association(listener.port, options=[*keys, ActiveKey(1)])
        async with before, await listener.accept() as accepted:
            listener.deactivate_key(1)
            listener.delete_key(1)
            with pytest.raises(ValueError, match=r"[Kk]ey"):
                listener.delete_key(1)
            await before.send(b"still there")
            assert (await accepted.receive()).data == b"still there"
        after = await stack.open_association(listener.port, options=[*keys, ActiveKey(1)])
        async with after, await listener.accept() as accepted:
            await after.send(b"deleted")
            after.set_option(ActiveKey(2))
            await after.send(b"the other", unordered=True)
            assert (await accepted.receive()).data == b"the other"
            after.abort()


def at_an_endpoint(pair: Pair) -> tuple[Callable[[int], None], Callable[[int], None]]:
    return pair.client.deactivate_key, pair.client.delete_key


def at_an_association(pair: Pair) -> tuple[Callable[[int], None], Callable[[int], None]]:
    return pair.association.deactivate_key, pair.association.delete_key


@pytest.mark.parametrize("calls", [at_an_endpoint, at_an_association])
async def test_the_active_key_stays(stack: StackUnderTest, calls: Any) -> None:
    async with stack.pair() as pair:
        for call in calls(pair):
            with pytest.raises(ValueError, match=r"key.*active"):
                call(0)
            with pytest.raises(ValueError, match=r"is (there such a|no shared) key"):
                call(9)
            with pytest.raises(ValueError, match="id must be between 0 and 65535, not 65536"):
                call(65536)
            with pytest.raises(TypeError, match="id must be an integer"):
                call("0")


async def test_the_active_key_of_a_connect(stack: StackUnderTest) -> None:
    """Keys are the endpoint's; which of them is active may be said for one association."""
    async with (
        stack.listening(options=[AuthChunks([DATA]), AuthKey(2, SECRET)]) as server,
        stack.endpoint(options=[AuthKey(2, SECRET)]) as client,
    ):
        association = await client.connect(stack.host, server.port, options=[ActiveKey(2)])
        assert association.get_option(ActiveKey) == ActiveKey(2)
        assert client.get_option(ActiveKey) == ActiveKey(0)
        with pytest.raises(ValueError, match="AuthKey is taken over from the endpoint: set it"):
            await client.connect(stack.host, server.port, options=[AuthKey(3, SECRET)])
        await association.send(b"x")
        await server.receive()
        assert (await server.receive()).data == b"x"  # type: ignore[union-attr]


async def test_after_a_peel_off_keys_can_still_be_changed(stack: StackUnderTest) -> None:
    async with stack.pair(client_options=[EVENTS], server_options=[AuthChunks([DATA])]) as pair:
        channel = pair.client.peeloff(pair.association)
        async with channel:
            for end in channel, pair.peer:
                end.set_option(AuthKey(1, SECRET))
            channel.set_option(ActiveKey(1))
            await channel.send(b"x")
            assert (await pair.server.receive()).data == b"x"  # type: ignore[union-attr]


async def test_a_peer_that_does_not_authenticate(stack: StackUnderTest) -> None:
    """What is asked for is not asked of it; whoever subscribes to that is told."""
    server_options = [AuthSupported(False)]
    options = [AuthSupported(True), AuthChunks([DATA]), EVENTS]
    async with stack.channels(client_options=options, server_options=server_options) as (
        client,
        server,
    ):
        assert client.get_option(AuthSupported) == AuthSupported(False)
        with pytest.raises(OptionUnsupported, match="the peer does not authenticate chunks"):
            client.set_option(AuthKey(1, SECRET))
        with pytest.raises(OptionUnsupported, match="the peer does not authenticate chunks"):
            client.get_option(PeerAuthChunks)
        await server.send(b"as ever")
        assert (await client.receive()).data == b"as ever"
    async with (
        stack.listening(options=server_options) as other,
        stack.endpoint(options=options) as endpoint,
    ):
        association = await endpoint.connect(stack.host, other.port)
        change = await endpoint.receive()
        assert isinstance(change, AuthenticationChange)
        assert change.association_id == association.id
        assert change.indication is AuthenticationState.NO_AUTH


# -- what a program can get wrong, which nothing leaves for ---


@pytest.mark.parametrize(
    ("kind", "values", "error", "complaint"),
    [
        (AuthChunks, ([],), ValueError, "AuthChunks.types must not be empty"),
        (AuthChunks, (0,), TypeError, r"AuthChunks.types must be a list .*\[0\], not 0"),
        (AuthChunks, ("0",), TypeError, "AuthChunks.types must be a list"),
        (AuthChunks, ([256],), ValueError, "between 0 and 255, not 256"),
        (AuthChunks, ([True],), TypeError, "must be an integer from 0 to 255, not True"),
        (AuthChunks, ([0, 1],), ValueError, "must not name 1: INIT chunks are never"),
        (AuthChunks, ([2],), ValueError, "must not name 2: INIT ACK chunks"),
        (AuthChunks, ([14],), ValueError, "must not name 14: SHUTDOWN COMPLETE chunks"),
        (AuthChunks, ([15],), ValueError, "must not name 15: AUTH chunks"),
        (HmacAlgorithms, ([],), ValueError, "algorithms must not be empty"),
        (HmacAlgorithms, (1,), TypeError, "a list of HmacAlgorithm"),
        (HmacAlgorithms, ([1],), TypeError, "must hold HmacAlgorithm, not 1"),
        (
            HmacAlgorithms,
            ([HmacAlgorithm.SHA_256],),
            ValueError,
            "must have SHA_1, which every peer knows",
        ),
        (
            HmacAlgorithms,
            ([HmacAlgorithm.SHA_1, HmacAlgorithm.SHA_1],),
            ValueError,
            "each algorithm once",
        ),
        (
            AuthKey,
            (
                65536,
                b"",
            ),
            ValueError,
            "AuthKey.id must be between 0 and 65535",
        ),
        (AuthKey, (b"hunter2", 1), TypeError, r"AuthKey\.id must be an integer .* not bytes"),
        (
            AuthKey,
            (
                1,
                "hunter2",
            ),
            TypeError,
            r"AuthKey\.secret must be bytes, not str",
        ),
        (
            AuthKey,
            (
                1,
                bytes(65536),
            ),
            ValueError,
            "at most 65535 bytes, not 65536",
        ),
        (ActiveKey, (-1,), ValueError, "ActiveKey.id must be between 0 and 65535, not -1"),
    ],
)
def test_what_is_wrong_is_named(
    kind: Any, values: tuple[object, ...], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint) as caught:
        kind(*values)
    assert "hunter2" not in str(caught.value)


def test_lists_become_tuples() -> None:
    assert AuthChunks([3, 0]).types == (3, 0)
    assert HmacAlgorithms([HmacAlgorithm.SHA_1]).algorithms == (HmacAlgorithm.SHA_1,)
    assert len({AuthChunks([0]), AuthChunks((0,))}) == 1


async def test_a_secret_is_never_shown(stack: StackUnderTest) -> None:
    key = AuthKey(1, b"hunter2")
    assert repr(key) == "AuthKey(id=1)"
    assert key == pickle.loads(pickle.dumps(key)) != AuthKey(1, b"another")
    async with stack.pair(client_options=[key]) as pair:
        with pytest.raises(ValueError, match="AuthKey can only be set"):
            pair.client.get_option(AuthKey)
        pair.association.abort()
        await pair.association.wait_ended()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
            pair.association.set_option(key)
        assert "hunter2" not in repr(caught.value)


async def test_what_a_channel_would_ask_for_too_late(stack: StackUnderTest) -> None:
    async with stack.channels() as (channel, _):
        algorithms = channel.get_option(HmacAlgorithms)
        for option in AuthChunks([0]), HmacAlgorithms([HmacAlgorithm.SHA_1]):
            with pytest.raises(ValueError, match="afterwards: give it to open_association or to"):
                channel.set_option(option)
        assert channel.get_option(HmacAlgorithms) == algorithms


@pytest.mark.parametrize("kind", [LocalAuthChunks, PeerAuthChunks])
async def test_what_can_only_be_read(pair: Pair, kind: Callable[..., Option]) -> None:
    with pytest.raises(ValueError, match="can only be read"):
        pair.association.set_option(kind((0,)))


async def test_what_belongs_to_which(pair: Pair) -> None:
    association: Association = pair.association
    for option in AuthChunks([0]), HmacAlgorithms([HmacAlgorithm.SHA_1]):
        with pytest.raises(ValueError, match="holds for the whole socket: set it on the endpoint"):
            association.set_option(option)
    with pytest.raises(ValueError, match="holds for the whole socket: read it from the endpoint"):
        association.get_option(HmacAlgorithms)
    with pytest.raises(ValueError, match="PeerAuthChunks belongs to one association"):
        pair.client.get_option(PeerAuthChunks)

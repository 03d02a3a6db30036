"""The examples of gen_sctp's manual, run by Erlang, against ours."""

from __future__ import annotations

import pytest

import trio_sctp
from trio_sctp import AssociationChange, AssociationState, InitMsg, Message

from .conftest import HOST, USER_ABORT, Erlang, take

pytestmark = [pytest.mark.kernel, pytest.mark.peer("erl", "erlc")]


async def test_their_client_and_our_server(erlang: Erlang) -> None:
    async with await trio_sctp.open_endpoint(hosts=HOST) as endpoint:
        endpoint.listen()
        client = await erlang("sctp_client", "client", HOST, endpoint.port, 0)

        up = await take(endpoint, AssociationChange)
        assert (up.state, up.inbound_streams) == (AssociationState.COMM_UP, 5)
        message = await take(endpoint, Message)
        assert (message.data, message.stream) == (b"Test 0", 0)
        lost = await take(endpoint, AssociationChange)
        assert (lost.state, lost.error) == (AssociationState.COMM_LOST, 12)
        assert {message.association_id, lost.association_id} == {up.association_id}

        await client.expect(
            f"Connection Successful, Assoc={{sctp_assoc_change,comm_up,0,5,{up.outbound_streams},",
            "\nok\n{error,einval}\nok",
        )


async def test_our_client_and_their_server(erlang: Erlang) -> None:
    server = await erlang("sctp_server", "server", HOST, 0)
    port = int((await server.expect("Listening on {127,0,0,1}:")).partition(".")[0])

    options = [InitMsg(num_ostreams=5)]
    async with await trio_sctp.open_association(HOST, port, options=options) as association:
        assert association.outbound_streams == 5
        await association.send(b"Test 0", stream=0)
        with pytest.raises(ValueError, match="stream 5"):
            await association.send(b"Test 5", stream=5)
        await server.expect(
            "Received: {ok,",
            "[],{sctp_assoc_change,comm_up,0,10,5,",
            "Received: {ok,",
            "[{sctp_sndrcvinfo,0,",
            '<<"Test 0">>',
        )
        association.abort(b"seen enough")
        await server.expect(
            '<<"Test 0">>', "Received: {ok,", f"[],{{sctp_assoc_change,comm_lost,{USER_ABORT},"
        )
        assert (await association.wait_ended()).reason == b"seen enough"


async def test_their_connect_init_and_two_servers_of_ours(erlang: Erlang) -> None:
    async with (
        await trio_sctp.open_endpoint(hosts=HOST) as first,
        await trio_sctp.open_endpoint(hosts=HOST) as second,
    ):
        first.listen()
        second.listen()
        client = await erlang("connect_init", "client", first.port, second.port)
        for number, endpoint in (1, first), (2, second):
            up = await take(endpoint, AssociationChange)
            assert (up.state, up.inbound_streams) == (AssociationState.COMM_UP, 5)
            await client.expect(f"Association {number} connect result: comm_up.")
            await endpoint.send(b"from %d" % number, up.association_id, stream=1)
            await client.expect(
                f"Association {number}: received {{[{{sctp_sndrcvinfo,1,",
                f'}}],<<"from {number}">>',
            )

"""5000 short associations, and what they leave behind: python -m tests.kernel.short_associations

Fails if it is a descriptor, a task, an object or memory.
"""

from __future__ import annotations

import gc

import trio
import trio.testing

from trio_sctp import AssociationChannel, open_association, serve

from .conftest import LOOPBACK, descriptors, kernel_associations, resident_kib


async def main() -> None:
    served = 0

    async def one_question(channel: AssociationChannel) -> None:
        nonlocal served
        message = await channel.receive()
        await channel.send(message.data)
        served += 1

    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve, one_question, 0)

        async def ask(questions: int) -> None:
            for n in range(questions):
                async with await open_association(LOOPBACK, listener.port) as channel:
                    await channel.send(b"%d" % n)
                    assert (await channel.receive()).data == b"%d" % n

        async def state() -> tuple[int, int, int]:
            await trio.testing.wait_all_tasks_blocked(0.05)
            gc.collect()
            return (
                descriptors(),
                trio.lowlevel.current_statistics().tasks_living,
                len(gc.get_objects()),
            )

        await ask(500)
        before = await state()
        memory = resident_kib()
        async with trio.open_nursery() as askers:
            for _ in range(9):
                askers.start_soon(ask, 500)
        after = await state()
        assert after[:2] == before[:2]
        assert after[2] - before[2] < 200
        assert resident_kib() - memory < 6 * 1024
        nursery.cancel_scope.cancel()
    assert served == 5000
    assert not kernel_associations()


if __name__ == "__main__":
    trio.run(main)

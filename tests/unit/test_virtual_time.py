"""The clock of tests on simulated hosts: what it skips, and what it does not."""

from __future__ import annotations

import time

import pytest
import trio
import trio.testing

from ..support import virtual_time

# Of each test: pytest-trio's own mark would come before a module's.
virtual = pytest.mark.trio(run=virtual_time.run)


@virtual
async def test_a_day_takes_no_time() -> None:
    started = time.monotonic()
    await trio.sleep(86400)
    assert trio.current_time() >= 86400
    assert time.monotonic() - started < 60


@virtual
async def test_a_deadline_strikes_who_does_not_wait() -> None:
    steps = 0
    with trio.move_on_after(100 * virtual_time.STEP) as scope:
        while True:
            await trio.lowlevel.checkpoint()
            steps += 1
    assert scope.cancelled_caught
    assert 90 < steps < 110


@virtual
async def test_time_does_not_jump_while_a_thread_works() -> None:
    with trio.fail_after(1):
        await trio.to_thread.run_sync(time.sleep, 0.05, abandon_on_cancel=True)


@virtual
async def test_time_does_not_jump_while_an_abandoned_thread_works() -> None:
    done: list[bool] = []

    def work() -> None:
        time.sleep(0.05)
        done.append(True)

    async def abandon() -> None:
        await trio.to_thread.run_sync(work, abandon_on_cancel=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(abandon)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await trio.sleep(1)
    assert done


@virtual
async def test_waiting_until_all_are_blocked_takes_no_virtual_time() -> None:
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert trio.current_time() < started + 1

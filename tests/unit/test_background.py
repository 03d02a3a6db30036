"""A task of the library's beside a block: whose errors leave the block, and how."""

from __future__ import annotations

import pytest
import trio

from trio_sctp._background import background


async def fails() -> None:
    raise KeyError("the task's")


async def test_the_bodys_exception_passes_unchanged() -> None:
    error = ValueError("the body's")
    with pytest.raises(ValueError, match="the body's") as caught:
        async with background(trio.sleep_forever, "a task"):
            raise error
    assert caught.value is error


async def test_the_tasks_error_cancels_the_body_and_leaves_in_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with background(fails, "a task"):
            await trio.sleep_forever()
    assert [repr(one) for one in caught.value.exceptions] == ['KeyError("the task\'s")']


async def test_the_errors_of_both_leave() -> None:
    error = ValueError("the body's")
    with pytest.raises(ExceptionGroup, match="the body failed, and so did a task") as caught:
        async with background(fails, "a task"):
            try:
                await trio.sleep_forever()
            finally:
                raise error
    assert caught.value.exceptions[0] is error
    assert caught.group_contains(KeyError, match="the task's")


async def test_a_cancelled_body_and_a_task_that_fails_at_that_leave_as_one_error() -> None:
    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("the task's")

    with pytest.raises(ExceptionGroup) as caught, trio.CancelScope() as scope:
        async with background(fails_when_cancelled, "a task"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert [type(one) for one in caught.value.exceptions] == [KeyError]

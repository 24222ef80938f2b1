"""Killed around a checkpoint: the next one extends the last, and no size is ever signed with two roots."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StorageUnavailable
from gateway.primitives import merkle
from tests.support.link import Killed, example
from tests.witness.stage import alarms, cosigned, play, signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.link import Process
    from tests.witness.stage import Stage

REFERRAL = "case.referral/s1-sumarni"
ORIGIN = "id.imigrasi/bcx/log/1"


def leaves(process: Process) -> list[bytes]:
    """Return the leaf hashes on disk."""
    return [row[0] for row in process.look("SELECT leaf FROM entries ORDER BY seq")]


class Dying:
    """Kills a process at the first commit after which `when` holds; from its next start on."""

    def __init__(self, process: Process) -> None:
        self.when: Callable[[], bool] = lambda: False
        self.killed = False
        go_on = process._step

        def meet(name: str) -> None:
            if name == "committed" and not self.killed and self.when():
                self.killed = True
                process.die()
                raise Killed(name)
            go_on(name)

        process._step = meet  # type: ignore[method-assign]


@pytest.mark.parametrize("stored", [False, True], ids=["leaf and checkpoint", "store and publish"])
def test_a_kill_between_two_steps_of_a_checkpoint_leaves_one_history(*, stored: bool) -> None:
    """The next checkpoint extends the last; each head that ever left the process is that of the final log."""
    shown: dict[int, bytes] = {}

    async def story(stage: Stage) -> None:
        a, dying = stage.a, Dying(stage.a)
        await stage.restart(a)
        await stage.until(lambda: cosigned(a) == signed(a) == len(leaves(a)))
        size, grown = signed(a), len(leaves(a))
        dying.when = lambda: len(leaves(a)) > grown and (signed(a) > size) is stored
        with contextlib.suppress(Killed, StorageUnavailable):  # a caller whose 202 may never come
            await a.until_dead(a.submit(example(REFERRAL)))
        await stage.until(lambda: dying.killed)
        assert (signed(a) > size) is stored
        assert all(head.size <= size for head in stage.shown(ORIGIN))
        before = signed(a)
        await stage.two.revive()
        await a.submit(example(REFERRAL))
        await stage.two.drained()
        await stage.until(lambda: cosigned(a) == signed(a) == len(leaves(a)) > before)
        for head in stage.shown(ORIGIN):
            assert shown.setdefault(head.size, head.root) == head.root
        assert alarms(a) == alarms(stage.b) == []

    stage = play(story)
    stage.checked()
    final = leaves(stage.a)
    assert {size: merkle.root(final[:size]) for size in shown} == shown
    stored_heads = stage.a.look("SELECT size, root FROM checkpoints")
    assert all(merkle.root(final[:size]) == root for size, root in stored_heads)

"""A process knows what it has from its parent by fork."""

import os

import pytest

from bankkit.runtime.forks import Birthplace, refusal
from tests.support.forking import in_a_fork


def test_what_was_made_before_a_fork_is_not_from_here() -> None:
    before = Birthplace()
    before.check("lock")

    def child() -> None:
        assert not before.is_here
        with pytest.raises(RuntimeError) as refused:
            before.check("lock")
        assert str(refused.value) == refusal("lock")
        assert "belongs to the process that this one was forked from" in refusal("lock")
        assert "spawn" in refusal("lock")
        own = Birthplace()
        assert own.is_here
        in_a_fork(lambda: os._exit(7 if own.is_here else 0))  # a grandchild

    in_a_fork(child)
    assert before.is_here

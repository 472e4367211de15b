"""A forked child recognizes objects that its parent made."""

import os

import pytest

from bankkit.runtime.forks import Birthplace, refusal
from tests.support.forking import in_a_fork


def test_an_object_of_the_parent_is_refused_in_a_forked_child() -> None:
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

"""What a `with` block does to a thing that has a `close()`."""

import pytest

from bankkit.runtime.closing import Closing


class Door(Closing):
    def __init__(self) -> None:
        self.times_closed = 0

    def close(self) -> None:
        self.times_closed += 1


def test_the_block_gets_the_thing_itself_and_closes_it_once() -> None:
    door = Door()
    with door as inside:
        assert inside is door
        assert door.times_closed == 0
    assert door.times_closed == 1


def test_an_error_in_the_block_goes_on_once_the_thing_is_closed() -> None:
    door = Door()
    with pytest.raises(ZeroDivisionError), door:
        _ = 1 / 0
    assert door.times_closed == 1


def test_what_has_no_close_is_not_made() -> None:
    class Wall(Closing):
        pass

    with pytest.raises(TypeError, match="close"):
        Wall()  # type: ignore[abstract]

"""The loss rate that lesson 07 draws, and its questions about which write overwrote which."""

import itertools

import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from bankkit import lab
from bankkit.lab.drawing import figures
from bankkit.lab.lessons import lesson_07
from bankkit.lab.racing.loss_rate import percent_lost
from bankkit.lab.racing.race_result import RaceResult
from bankkit.lab.recording.lost_updates import lost_updates
from bankkit.lab.recording.lost_updates import writes as writes_of


@pytest.fixture(scope="module")
def races() -> dict[str, RaceResult]:
    return {
        "alone": lab.race("none", writers=1, rounds=3),
        "two": lab.race("none", writers=2, mode="forced"),
        "four": lab.race("none", writers=4, mode="forced"),
        "mutex": lab.race("mutex", writers=3, rounds=2),
        "readers": lab.race("none", writers=0, readers=1),
    }


def words(picture: figures.Picture) -> list[str]:
    return [text.get_text() for text in picture.figure.findobj(Text) if isinstance(text, Text)]


def heights(picture: figures.Picture) -> list[float]:
    (axes,) = picture.figure.axes
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_a_bar_is_as_high_as_the_share_of_deposits_lost(races: dict[str, RaceResult]) -> None:
    """A forced race loses all deposits but one."""
    picture = lab.loss_rate([races["alone"], races["two"], races["four"]])
    assert heights(picture) == [0, 50, 75]
    shown = words(picture)
    assert {"0 of 3", "1 of 2", "3 of 4"} <= set(shown)
    assert "With 4 clients at once, 75 of 100 deposits were lost" in shown
    assert {"clients that deposit at the same time", "deposits lost (%)"} <= set(shown)
    assert picture.line == (
        "Each bar shows the share of deposits that one race lost. These races had 1, 2 and 4 "
        "clients. One client alone lost nothing; several clients at once lost deposits."
    )


def test_it_says_when_nothing_was_lost(races: dict[str, RaceResult]) -> None:
    picture = lab.loss_rate([races["mutex"]])
    assert heights(picture) == [0]
    assert "No deposit was lost" in words(picture)
    assert picture.line.endswith("This race had 3 clients. No deposit was lost.")
    assert lab.loss_rate([races["two"]]).line.endswith(
        "This race had 2 clients. Deposits were lost."
    )


def test_the_share_is_that_of_the_money(races: dict[str, RaceResult]) -> None:
    for name in ("alone", "two", "four", "mutex"):
        race = races[name]
        assert percent_lost(race) == pytest.approx(100 * race.lost / race.expected)


def test_what_cannot_be_drawn_is_refused(races: dict[str, RaceResult]) -> None:
    with pytest.raises(ValueError, match="loss_rate draws 1 to 12 races, not 0"):
        lab.loss_rate([])
    with pytest.raises(ValueError, match="loss_rate draws 1 to 12 races, not 13"):
        lab.loss_rate([races["two"]] * 13)
    with pytest.raises(ValueError, match="has no acknowledged deposit"):
        lab.loss_rate([races["two"], races["readers"]])


def test_dollars_in_a_card_are_no_formula(races: dict[str, RaceResult]) -> None:
    """JupyterLab renders the text between two dollar signs in one element as TeX."""
    card = races["two"]._repr_mimebundle_()["text/html"]
    assert card.count("$") >= 2
    assert card.count("$") == card.count("<span>$</span>")


# --- The lesson's schedules --------------------------------------------------------------------


def orders(clients: str) -> set[str]:
    return {"".join(order) for order in itertools.permutations(clients * 3)}


def test_of_the_twenty_orders_of_two_deposits_two_are_right() -> None:
    every = orders("AB")
    assert len(every) == 20
    assert {order for order in every if not lesson_07.lost_in(order)} == {"AAABBB", "BBBAAA"}


def test_what_is_lost_is_what_the_balance_misses() -> None:
    """Two and three clients in every order; three have 1,680."""
    seen = set()
    for order in sorted(orders("AB") | _orders_of_three()):
        clients = len(set(order))
        left = lesson_07.run(order)[-1][2]
        lost = lesson_07.lost_in(order)
        assert left == 100 * (clients - len(lost)), order
        seen.add(lost)
    assert {"", "A", "B", "C", "AB", "AC", "BC"} == seen


def _orders_of_three() -> set[str]:
    found = {""}
    for _ in range(9):
        found = {
            order + client for order in found for client in "ABC" if order.count(client) < 3
        }  # fmt: skip
    return found


def test_the_pairs_that_the_check_expects_are_those_of_a_real_race() -> None:
    """Compared with `lost_updates`, which does not use the lesson's notation."""
    history = lab.race("none", writers=4, rounds=5).history
    steps = []
    for place, write in enumerate(writes_of(history, "alice")):
        steps.append((place, 0, write.client, "commits", write.wrote))
        steps.append((write.based_on, 1, write.client, "reads", write.read))
    found = set(lesson_07.pairs([step[2:] for step in sorted(steps)]))
    lost = lost_updates(history, "alice")
    assert {(update.by.client, update.overwritten.client) for update in lost} <= found
    assert bool(lost) == bool(found)

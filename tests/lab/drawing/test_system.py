"""The picture of the system shows the real details of the running bank, and is easy to read."""

import itertools
import socket

import matplotlib.patches
import pytest
from matplotlib.text import Text

from bankkit import Bank
from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.system import system


def texts(picture: figures.Picture) -> list[Text]:
    found = picture.figure.findobj(lambda artist: isinstance(artist, Text))
    return [text for text in found if isinstance(text, Text) and text.get_text()]


def words(picture: figures.Picture) -> list[str]:
    return [text.get_text() for text in texts(picture)]


def bold(picture: figures.Picture) -> set[str]:
    return {text.get_text() for text in texts(picture) if text.get_fontweight() == "bold"}


def after_a_deposit(bank: Bank, account_id: str = "alice", dollars: float = 10) -> figures.Picture:
    bank.client.create_account(account_id)
    before = bank.peek(account_id)
    bank.client.deposit(account_id, dollars)
    return system(bank, before, bank.peek(account_id))


def test_the_line_says_what_the_picture_shows() -> None:
    with Bank() as bank:
        picture = after_a_deposit(bank)
    assert picture.line == (
        "client (1) → stub (2) → channel (3, IPv4) → one of 16 server threads (4) → lock "
        "(5, read-write) → Redis (6), where bank:{alice}:account had balance 0 before the call and "
        "has 1000 after it, in cents."
    )
    shown = words(picture)
    assert "One call, six stations, one changed number in Redis" in shown
    for said in ("HTTP/2 to 127.0.0.1, IPv4", "1 of 16 takes the call", "“read-write”"):
        assert said in shown
    assert [word for word in shown if word in "123456"] == list("123456")
    assert shown.index("before") < shown.index("0") < shown.index("after") < shown.index("1000")


def test_another_bank_gives_another_picture() -> None:
    with Bank("atomic", threads=4) as bank:
        picture = after_a_deposit(bank)
    assert "one of 4 server threads (4) → lock (5, atomic)" in picture.line
    assert {"1 of 4 takes the call", "“atomic”", "no lock: Redis makes the"} <= {*words(picture)}
    squares = [
        patch
        for patch in picture.figure.findobj(matplotlib.patches.Rectangle)
        if isinstance(patch, matplotlib.patches.Rectangle) and patch.get_width() == 0.13
    ]
    assert len(squares) == 4
    assert [square.get_hatch() is not None for square in squares] == [True, False, False, False]


def test_the_address_family_is_that_of_the_server() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Bank(host="::1") as bank:
        picture = after_a_deposit(bank)
    assert "channel (3, IPv6)" in picture.line
    assert "HTTP/2 to ::1, IPv6" in words(picture)


def test_a_change_shows_by_more_than_its_colour() -> None:
    with Bank() as bank:
        picture = after_a_deposit(bank)
        now = bank.peek("alice")
        unchanged = system(bank, now, now)
    assert {"balance", "1000"} <= bold(picture)
    assert not {"type", "0", "before", "after"} & bold(picture)
    assert "One call, six stations, and nothing changed in Redis" in words(unchanged)
    assert not {"balance", "1000"} & bold(unchanged)


@pytest.mark.parametrize(
    "concurrency", ["none", "first-draft", "atomic", "read-write", "redis-read-write"]
)
def test_no_text_covers_another_or_leaves_the_page(concurrency: str) -> None:
    with Bank(concurrency, threads=64) as bank:
        picture = after_a_deposit(bank, "W" * 64, 10**13)
    with figures.plain_style():
        picture.figure.canvas.draw()
        page = picture.figure.bbox
        boxes = {text: text.get_window_extent() for text in texts(picture)}
    for (one, its), (other, others) in itertools.combinations(boxes.items(), 2):
        assert not its.overlaps(others), (one.get_text(), other.get_text())
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, text.get_text()


def test_its_colours_are_okabe_and_itos() -> None:
    with Bank() as bank:
        picture = after_a_deposit(bank)
    allowed = {style.ORANGE, style.GREEN, style.BLUE, style.VERMILLION, figures.INK, figures.QUIET}
    edges = {
        matplotlib.colors.to_hex(patch.get_edgecolor()).upper()
        for patch in picture.figure.findobj(matplotlib.patches.Patch)
        if isinstance(patch, matplotlib.patches.Patch) and patch is not picture.figure.patch
    }
    assert len(edges) >= 5
    assert edges <= {*allowed, "#000000"}


def test_two_accounts_or_none_are_refused() -> None:
    with Bank() as bank:
        bank.client.create_account("alice")
        bank.client.create_account("bob")
        alice, bob, nobody = map(bank.peek, ("alice", "bob", "carol"))
        for before, after in ((alice, bob), (nobody, alice), (alice, nobody), (nobody, nobody)):
            with pytest.raises(ValueError, match="of one and the same account"):
                system(bank, before, after)

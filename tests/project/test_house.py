"""The picture of the rooms in CONTRIBUTING.md matches the imports in the code."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import house

COMMAND = ".venv/bin/python -m tests.house --write"


def package(folder: Path, files: Mapping[str, str]) -> Path:
    """A package `bankkit` with these files."""
    for name, text in files.items():
        path = folder / "bankkit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder / "bankkit"


def test_the_page_shows_the_house_as_it_is() -> None:
    shown = house.drawn(house.PAGE.read_text(encoding="utf-8"))
    assert shown == house.picture(), (
        f"The picture of the house in {house.PAGE.name} is not what the code imports now. "
        f"Run `{COMMAND}`, look at the difference with `git diff {house.PAGE.name}`, and commit it."
    )


def test_every_way_to_import_is_seen(tmp_path: Path) -> None:
    graph, _ = house.rooms(
        package(
            tmp_path,
            {
                "__init__.py": "def start():\n    from bankkit.launch import Bank\n",
                "__main__.py": "import bankkit.lab.grading\n",
                "accounts.py": "import os\nfrom typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from bankkit import money\n",
                "launch/__init__.py": "from .bank import Bank\n",
                "launch/bank.py": "from ..store import Store\nfrom .. import locks\n",
                "locks/__init__.py": "",
                "money.py": "",
                "store.py": "import bankkit.accounts as rules\nclass Store: ...\n",
                "lab/__init__.py": "from bankkit.lab.course.cards import Card\n",
                "lab/course/__init__.py": "",
                "lab/course/cards.py": "from bankkit import Bank\nclass Card: ...\n",
                "lab/grading.py": "from bankkit import lab\n",
            },
        )
    )
    assert graph == {
        "bankkit": {"launch"},
        "cli": {"lab/grading"},
        "accounts": {"money"},
        "launch": {"store", "locks"},
        "locks": set(),
        "money": set(),
        "store": {"accounts"},
        "lab": {"lab/course"},
        "lab/course": {"bankkit"},
        "lab/grading": {"lab"},
    }


def test_an_arrow_that_a_longer_way_implies_is_left_out() -> None:
    graph = {"service": {"teller", "store"}, "teller": {"store"}, "store": set()}
    assert house.reduced(graph) == {"service": {"teller"}, "teller": {"store"}, "store": set()}


def test_two_arrows_that_imply_each_other_both_stay() -> None:
    """Rooms that import each other are a fault, and the picture shows it."""
    graph = {"a": {"b", "ground"}, "b": {"a", "ground"}, "ground": set(), "top": {"a", "ground"}}
    assert house.reduced(graph) == {**graph, "top": {"a"}}


def test_only_lines_with_code_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text(
        '"""A docstring\nof two lines."""\n\n# a comment\nX = 1  # and another\n'
        '"""What X is."""\nTEXT = """two\nlines"""\n'
    )
    assert house.lines_of_code(path) == 3


def test_only_the_picture_is_written() -> None:
    page = f"before\n\n{house.OPENS}\nold\n{house.CLOSES}\n\nafter\n"
    new = house.redrawn(page, "new")
    assert new == page.replace("old", "new")
    assert house.redrawn(new, "new") == new


@pytest.mark.parametrize("page", ["no marker", house.OPENS, f"{house.CLOSES}\n{house.OPENS}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r"must have one line <!-- house -->"):
        house.drawn(page)

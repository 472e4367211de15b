"""What the explorer takes for its own code."""

import importlib
import json
import os
import pkgutil
import sys

import pytest

from bankkit import explorer
from bankkit.explorer.engine import ownership

MODULES = [each.name for each in pkgutil.walk_packages(explorer.__path__, f"{explorer.__name__}.")]


@pytest.mark.parametrize("name", [explorer.__name__, *MODULES])
def test_each_module_in_each_folder_of_the_explorer_is_its_own(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file
    assert ownership.is_own_module(name)
    assert ownership.is_of_the_explorer(file)
    assert not ownership.is_of_the_program(file)


@pytest.mark.parametrize("name", ["", "__main__", "json", "bankkit", "bankkit.explorers", None])
def test_no_other_module_is_its_own(name: str | None) -> None:
    assert not ownership.is_own_module(name)


def test_frames_are_told_apart() -> None:
    here = sys._getframe()
    assert not ownership.is_own(here)
    assert not ownership.is_own(None)
    assert ownership.is_of_the_program(__file__)


def test_the_library_and_packages_are_not_of_the_program() -> None:
    for file in (json.__file__, os.__file__, pytest.__file__):
        assert not ownership.is_of_the_program(file)
        assert not ownership.is_of_the_explorer(file)
    assert ownership.is_of_the_library(json.__file__)
    assert ownership.is_of_a_package(pytest.__file__)

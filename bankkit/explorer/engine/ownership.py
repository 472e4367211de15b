"""Tells whose code is: the explorer's, the standard library's, a package's or the program's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType
from typing import TypeGuard

_EXPLORER = "bankkit.explorer"
_EXPLORER_FOLDER = f"{sys.modules[_EXPLORER].__path__[0]}{os.sep}"
_LIBRARY_FOLDER = f"{Path(os.__file__).parent}{os.sep}"


def is_own_module(name: object) -> bool:
    """Whether the module of this name is the explorer's. Code in C may have any `__module__`."""
    name = str(name)
    return name.startswith(f"{_EXPLORER}.") or name == _EXPLORER


def is_own(frame: FrameType | None) -> TypeGuard[FrameType]:
    """Whether the frame runs code of the explorer."""
    return frame is not None and is_own_module(frame.f_globals.get("__name__", ""))


def is_of_the_explorer(file: str) -> bool:
    """Whether the file belongs to the explorer."""
    return file.startswith(_EXPLORER_FOLDER)


def is_of_a_package(file: str) -> bool:
    """Whether the file belongs to an installed package."""
    return "site-packages" in file or "dist-packages" in file


def is_of_the_library(file: str) -> bool:
    """Whether the file belongs to the standard library."""
    return file.startswith(_LIBRARY_FOLDER) and not is_of_a_package(file)


def is_of_the_program(file: str) -> bool:
    """Whether the code in the file is neither Python's, nor a package's, nor the explorer's."""
    return not (is_of_the_library(file) or is_of_a_package(file) or is_of_the_explorer(file))

"""Detection of files that hide a library or a standard module of Python.

Python searches first in the folder of the script or the notebook, or in the current folder with
`python -m`. If that folder has a file `redis.py`, `import redis` imports that file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

LIBRARIES = frozenset(
    {
        "anywidget",
        "filelock",
        "google",
        "greenlet",
        "grpc",
        "grpc_health",
        "grpc_reflection",
        "grpc_status",
        "hiredis",
        "ipykernel",
        "ipywidgets",
        "jupyterlab",
        "matplotlib",
        "platformdirs",
        "redis",
    }
)
"""Import names of the libraries that the bank and the lessons use."""


def in_folder(folder: Path, names: Collection[str]) -> list[Path]:
    """The modules and packages in this folder that have one of these names."""
    entries = sorted(folder.iterdir())
    if any(entry.suffix == ".dist-info" for entry in entries):
        return []  # libraries are installed in this folder
    return [
        entry
        for entry in entries
        if (entry.suffix == ".py" and entry.stem in names)
        or (entry.name in names and (entry / "__init__.py").exists())
    ]


def about_loaded_modules() -> str:
    """A sentence about a file that was imported in place of a library or a standard module, from
    the folder that Python searches first; empty if there is none."""
    first = Path(sys.path[0] if sys.path else "").absolute()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name in LIBRARIES | sys.stdlib_module_names:
            path = Path(file).absolute()
            path = path.parent if path.stem == "__init__" else path
            if path.parent == first and path in in_folder(first, [name]):
                return f"{path} hides the module of that name: rename it."
    return ""

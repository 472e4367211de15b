"""Files that hide a library, or a part of Python itself, from what imports it in their folder.

Python looks first in the folder of a script, of a notebook, or of `python -m`. A file `redis.py`
there is then what `import redis` finds.
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
"""What the bank and the lessons import from elsewhere, by the name of the import."""


def in_folder(folder: Path, names: Collection[str]) -> list[Path]:
    """The modules and packages in this folder that have one of these names."""
    entries = sorted(folder.iterdir())
    if any(entry.suffix == ".dist-info" for entry in entries):
        return []  # here is where libraries are installed
    return [
        entry
        for entry in entries
        if (entry.suffix == ".py" and entry.stem in names)
        or (entry.name in names and (entry / "__init__.py").exists())
    ]


def about_loaded_modules() -> str:
    """A sentence if what was imported as a library, or as a part of Python, came from the folder
    that Python looks in first; else empty."""
    first = Path(sys.path[0] if sys.path else "").absolute()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name in LIBRARIES | sys.stdlib_module_names:
            path = Path(file).absolute()
            path = path.parent if path.stem == "__init__" else path
            if path.parent == first and path in in_folder(first, [name]):
                return f"{path} hides the module of that name: rename it."
    return ""

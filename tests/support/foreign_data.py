"""A Redis with the data of other programs, which no bank may touch.

This file is also a pytest plugin (`-p tests.support.foreign_data`, as in `make test`): all lessons
then use this Redis, over TCP with a password. After each lesson, the data must be unchanged.
"""

import os
import re
import sys
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from bankkit.redis_backend import VARIABLE
from bankkit.redis_backend.connection import connect
from tests.support.processes import LONG_ENOUGH, redis_on_tcp
from tests.support.waiting import eventually

# It takes two seconds to import, and jsonschema, which nbval uses, works without it.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

PASSWORD = "open-sesame"

FOREIGN: dict[str, dict[str, Any]] = {
    "string": {"greeting": "hello", "bank:{alice}:account-number": "7"},
    "hash": {
        "bank:{alice}:account": {"type": "checking", "balance": "1234"},
        "bankkit": {"a": "b"},
        "bankkit-settings": {"colour": "green"},
    },
    "list": {"queue": ["a", "b"]},
    "set": {"tags": ["x", "y"]},
    "zset": {"scores": {"ann": 1.5, "bob": 2}},
    "stream": {"events": {"kind": "login"}},
}
"""Keys of other programs, by type; some have names much like ours."""


def fill(client: Any) -> None:
    """Stores the keys of other programs in this Redis."""
    for key, text in FOREIGN["string"].items():
        client.set(key, text)
    for key, fields in FOREIGN["hash"].items():
        client.hset(key, mapping=fields)
    for key, items in FOREIGN["list"].items():
        client.rpush(key, *items)
    for key, members in FOREIGN["set"].items():
        client.sadd(key, *members)
    for key, scores in FOREIGN["zset"].items():
        client.zadd(key, scores)
    for key, fields in FOREIGN["stream"].items():
        client.xadd(key, fields, id="1-1")
    client.set("soon over", "text", pxat=2**42)


def dump(client: Any) -> dict[str, tuple[str, Any, int]]:
    """By key: its type, its value, and when it expires."""
    found = {}
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        value: Any = {
            "string": client.get,
            "hash": client.hgetall,
            "list": lambda key: client.lrange(key, 0, -1),
            "set": client.smembers,
            "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            "stream": client.xrange,
            "none": lambda key: None,
        }[kind](key)
        found[key] = (kind, value, int(client.execute_command("PEXPIRETIME", key)))
    return found


def assert_untouched(client: Any, before: dict[str, tuple[str, Any, int]]) -> None:
    """Compares with an earlier `dump`: no key has changed, new keys are soon gone, no flush ran."""
    eventually(lambda: dump(client).keys() == before.keys(), LONG_ENOUGH)
    after = dump(client)
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert not changed, f"foreign data was changed: {changed}"
    commands = client.info("commandstats")
    assert not [name for name in commands if re.search("flush|swapdb|rename", name)]


# The plugin.

Outcome = Generator[None, object, object]

_open = ExitStack()
_url = ""
_client: Any = None
_before: dict[str, tuple[str, Any, int]] = {}


def _start() -> None:
    global _url, _client, _before
    _url = _open.enter_context(redis_on_tcp(PASSWORD))
    _client = _open.enter_context(connect(_url))
    fill(_client)
    _before = dump(_client)


def _is_lesson(item: pytest.Item | None) -> bool:
    return item is not None and item.path.suffix == ".ipynb"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Outcome:
    """Sets the variable: a lesson's kernel starts here and inherits it."""
    if not _is_lesson(item):
        return (yield)
    if not _url:
        _start()
    os.environ[VARIABLE] = _url
    try:
        return (yield)
    finally:
        del os.environ[VARIABLE]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Outcome:
    """Checks the data after the last cell of a lesson, when its kernel has ended."""
    result = yield
    if _is_lesson(item) and (nextitem is None or nextitem.path != item.path):
        assert_untouched(_client, _before)
    return result


def pytest_sessionfinish() -> None:
    """Stops the Redis at the end of the run."""
    _open.close()

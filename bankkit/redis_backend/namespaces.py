"""Namespaces, which separate the keys of one bank from other keys in the same Redis.

Every key of a bank begins with `NAMESPACE:`.
"""

from __future__ import annotations

import secrets

import redis

MAX_NAMESPACE = 128
"""Maximum number of characters, because every key contains the namespace."""


def fresh_namespace() -> str:
    """A random namespace that no other bank uses."""
    return f"bankkit-{secrets.token_hex(4)}"


def sweep(client: redis.Redis, namespace: str) -> int:
    """Delete all keys of a namespace and no others. Returns the number of deleted keys."""
    swept = 0
    batch: list[str] = []
    for key in client.scan_iter(f"{namespace}:*", count=1000):
        batch.append(key)
        if len(batch) == 1000:
            swept += client.unlink(*batch)
            batch.clear()
    return swept + (client.unlink(*batch) if batch else 0)


def check_namespace(namespace: object) -> None:
    """Raises ValueError unless the namespace is a plain word; the text says what is allowed."""
    fine = isinstance(namespace, str) and 0 < len(namespace) <= MAX_NAMESPACE
    if not fine or not str(namespace).isprintable() or set(str(namespace)) & set("{}*?[]\\: "):
        raise ValueError(
            f"A namespace must be a plain word of at most {MAX_NAMESPACE} characters without "
            f"spaces, colons, braces, brackets, *, ? or backslashes, not {str(namespace)[:80]!r}."
        )

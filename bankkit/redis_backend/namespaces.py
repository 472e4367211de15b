"""Where the keys of one bank live in a Redis that others use as well.

Every key of a bank begins with `NAMESPACE:`.
"""

from __future__ import annotations

import secrets

import redis

MAX_NAMESPACE = 128
"""Characters. Each key begins with it."""


def fresh_namespace() -> str:
    """One that nobody has."""
    return f"bankkit-{secrets.token_hex(4)}"


def sweep(client: redis.Redis, namespace: str) -> int:
    """Deletes all keys of a namespace and nothing else; how many there were."""
    swept = 0
    batch: list[str] = []
    for key in client.scan_iter(f"{namespace}:*", count=1000):
        batch.append(key)
        if len(batch) == 1000:
            swept += client.unlink(*batch)
            batch.clear()
    return swept + (client.unlink(*batch) if batch else 0)


def check_namespace(namespace: object) -> None:
    """Raises ValueError that says what is allowed."""
    fine = isinstance(namespace, str) and 0 < len(namespace) <= MAX_NAMESPACE
    if not fine or not str(namespace).isprintable() or set(str(namespace)) & set("{}*?[]\\: "):
        raise ValueError(
            f"A namespace is a plain word of at most {MAX_NAMESPACE} characters without spaces, "
            f"colons, braces or globs, not {str(namespace)[:80]!r}."
        )

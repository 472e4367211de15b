"""Sweeps one namespace of the user's own Redis once its parent is dead; a script.

    python -I -S janitor_script.py

The first line of standard input is a JSON object: `url`, `namespace`, and `path`, the parent's
`sys.path`. They come that way, and not as arguments, because a URL may hold a password. Then the
script waits for EOF, which is what the death of its parent looks like. A parent that has swept the
namespace itself says anything at all before the EOF. Nothing but the standard library is imported
until there is something to do, so that a waiting janitor costs little.
"""

from __future__ import annotations

import json
import signal
import sys


def main() -> None:
    # Where everything is told to end, the parent ends too, and then there is work to do here.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    line = sys.stdin.readline()
    if not line or sys.stdin.read():
        return
    order = json.loads(line)
    sys.path[:] = order["path"]
    from bankkit.redis_backend.connection import connect
    from bankkit.redis_backend.namespaces import sweep

    with connect(order["url"]) as client:
        sweep(client, order["namespace"])


if __name__ == "__main__":
    main()

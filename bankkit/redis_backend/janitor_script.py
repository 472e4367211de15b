"""Script that sweeps one namespace of the user's own Redis after the end of its parent.

    python -I -S janitor_script.py

The first line of standard input is a JSON object: `url`, `namespace`, and `path`, the parent's
`sys.path`. They are not arguments, because a URL may hold a password. Then the script waits for
EOF, which means that its parent has ended. If the parent has swept the namespace itself, it writes
something before the EOF. The script imports only the standard library until it has to sweep, so
that a waiting janitor costs little.
"""

from __future__ import annotations

import json
import signal
import sys


def main() -> None:
    """Wait for the end of the parent, then sweep the namespace."""
    # If all processes get SIGTERM, the parent ends too. Then this script still has to sweep.
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

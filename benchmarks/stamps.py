"""Stamps of the machine's monotonic clock, which all processes share, in a file: see bench_quote_to_order.py."""

import json
import os
import time
from pathlib import Path

BAR, EXECUTION, ORDER = "bar", "execution", "order"
"""Of the sandbox: the last frame of a symbol's minute goes out, an execution's frame goes out, an order comes in."""
TOLD, COMMITTED, STARTED, RECONCILED = "told", "committed", "started", "reconciled"
"""Of the runner: the engine is given a minute, an intent is on disk, the process begins, a broker is reconciled."""


class Stamps:
    """Appends lines to a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def leave(self, what: str, name: str, at: int | None = None, *, took: int = 0) -> None:
        """Note that `what` happened to `name`, now unless `at` (monotonic nanoseconds) says when."""
        line = {"what": what, "name": name, "at": time.monotonic_ns() if at is None else at, "took": took}
        os.write(self._handle, json.dumps(line).encode() + b"\n")


def patch(owner: object, name: str, instead: object) -> None:
    """Put `instead` in the place of what `owner` has under `name`."""
    setattr(owner, name, instead)

"""A session's runner, with a stamp at each moment that bench_quote_to_order.py measures between.

It is what the supervisor starts; a few of its functions are wrapped here, from outside.

Usage: python benchmarks/stamped_runner.py STAMPS the runner's own arguments ...
"""

import os
import sys
import time
from collections.abc import Sequence
from functools import wraps
from pathlib import Path

from benchmarks.stamps import COMMITTED, RECONCILED, STARTED, TOLD, Stamps, patch


def begin() -> Stamps:
    """Stamp the process's first line, before the program is loaded."""
    stamps = Stamps(Path(sys.argv[1]))
    stamps.leave(STARTED, str(os.getpid()))
    return stamps


def run(stamps: Stamps, words: Sequence[str]) -> int:
    """Run one session as the supervisor would have it run."""
    from tbot_bot.core.events import BarsClosed, Event  # noqa: PLC0415 - the start is stamped before these are loaded
    from tbot_bot.core.instants import MINUTE  # noqa: PLC0415
    from tbot_bot.journal.store import Entry, Journal  # noqa: PLC0415
    from tbot_bot.runtime import main as program  # noqa: PLC0415
    from tbot_bot.runtime.reconcile import BrokerReconciler  # noqa: PLC0415
    from tbot_bot.runtime.shell import SessionShell  # noqa: PLC0415

    take, append, reconcile = SessionShell.take, Journal.append, BrokerReconciler.reconcile

    @wraps(take)
    async def taken(self: SessionShell, event: Event) -> None:
        if isinstance(event, BarsClosed) and event.bars and not event.backfill:
            stamps.leave(TOLD, str(max(bar.end for bar in event.bars) // MINUTE))
        await take(self, event)

    @wraps(append)
    def appended(self: Journal, entries: Sequence[Entry]) -> range:
        intent = any('"SubmitOrder"' in str(entry.payload) for entry in entries)
        begun = time.monotonic_ns()
        found = append(self, entries)
        if intent:
            now = time.monotonic_ns()
            stamps.leave(COMMITTED, "", now, took=now - begun)
        return found

    @wraps(reconcile)
    async def reconciled(self: BrokerReconciler, name: str) -> bool:
        found = await reconcile(self, name)
        if found:
            stamps.leave(RECONCILED, name)
        return found

    patch(SessionShell, "take", taken)
    patch(Journal, "append", appended)
    patch(BrokerReconciler, "reconcile", reconciled)
    return program.main(words)


if __name__ == "__main__" and len(sys.argv) > 1:  # `make bench` runs every file of this folder
    sys.exit(run(begin(), sys.argv[2:]))

"""What the brokers said at the end of days, from the reconciliation's files, for `tbot ledger verify`.

A file is a JSON object with `day` and `brokers`; each of those has `broker`, `cash` in dollars and `positions`, each
with `symbol` and a signed `quantity`. Numbers are decimal strings. Other fields are left to their readers.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.units import quantity_units, to_units
from tbot_bot.accounting.verify import Reconciled
from tbot_bot.core.money import exact


def statements(config: BooksConfig) -> tuple[Reconciled, ...]:
    """Return every statement on file beside the books of `config`, by day.

    Raises:
        LedgerError: a file is not of the form above.
    """
    folder = config.ledger.parent.parent / "summaries"
    found: list[Reconciled] = []
    for path in sorted(folder.glob(f"reconciliation_{config.mode}_*.json")):
        found += _in_file(path)
    return tuple(found)


def _in_file(path: Path) -> Iterator[Reconciled]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        day = date.fromisoformat(read["day"])
        for one in read["brokers"]:
            yield Reconciled(
                day=day,
                broker=str(one["broker"]),
                cash=to_units(exact(str(one["cash"]))),
                positions={
                    str(held["symbol"]): quantity_units(exact(str(held["quantity"]))) for held in one["positions"]
                },
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = "Make it again, or move it away."
        raise LedgerError(f"the reconciliation cannot be read: {error!r}", where=str(path), mend=mend) from error


__all__ = ["statements"]

"""What the bot left on disk and what the venue says, as the judge reads it: by SQL, CSV and JSON, none of the bot."""

import csv
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

SENT: Final = frozenset({"SubmitOrder", "ReplaceOrder"})
_TIMES: Final = frozenset({"submitted_at", "updated_at", "ended_at", "transacted_at"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Intent:
    """An order as the journal has it."""

    order_id: str
    account: str
    symbol: str
    trade: str
    quantity: Decimal
    recorded_at: int
    ended: str = ""
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)


class Books:
    """What the bot's own files say."""

    def __init__(self, folder: Path) -> None:
        self.intents: dict[str, Intent] = {}
        self.repeated: list[str] = []
        self.session_ended = False
        self.chain_broken = 0
        self._executions: set[str] = set()
        self._read_journal(folder / "output" / "journal" / "tbot_paper.sqlite3")
        history = folder / "output" / "trades" / "trade_history_paper.csv"
        self.trades: list[dict[str, str]] = []
        if history.exists():
            with history.open(encoding="utf-8", newline="") as file:
                self.trades = [row for row in csv.DictReader(file) if row["entry_timestamp"]]

    def _read_journal(self, path: Path) -> None:
        if not path.exists():
            return
        connection = sqlite3.connect(path)
        columns = "kind, recorded_at, payload, previous_hash, hash"
        rows = connection.execute(f"SELECT {columns} FROM journal ORDER BY seq").fetchall()  # noqa: S608 - constant
        connection.close()
        last = None
        for kind, recorded_at, payload, previous, own in rows:
            self.chain_broken += last is not None and previous != last
            last = own
            told = json.loads(payload)
            if kind == "command":
                for output in told["outputs"]:
                    self._decided(output, recorded_at)
            elif kind == "input":
                self._heard(told)

    def _decided(self, output, recorded_at: int) -> None:
        if output["_"] == "SessionEnded":
            self.session_ended = True
        if output["_"] not in SENT:
            return
        order = output["order"]
        name = order["client_order_id"]
        if name in self.intents:
            self.repeated.append(name)
            return
        self.intents[name] = Intent(
            order_id=name,
            account=order["broker"],
            symbol=order["instrument"]["symbol"],
            trade=order["trade_id"],
            quantity=Decimal(order["quantity"]),
            recorded_at=recorded_at,
        )

    def _heard(self, event) -> None:
        kind = event["_"]
        if kind == "OrderFilled":
            fill = event["fill"]
            intent = self.intents.get(fill["client_order_id"])
            if intent is None or fill["execution_id"] in self._executions:
                return
            self._executions.add(fill["execution_id"])
            quantity = Decimal(fill["quantity"])
            intent.filled += quantity
            intent.value += quantity * Decimal(fill["price"])
            intent.fees += Decimal(fill["fees"])
            if intent.filled >= intent.quantity:
                intent.ended = "filled"
        elif kind in {"OrderCancelled", "OrderRejected", "OrderExpired", "OrderReplaced"}:
            intent = self.intents.get(event["client_order_id"])
            if intent is not None:
                intent.ended = intent.ended or kind


def read_json(path: Path):
    """Return what is in the file; the venue's times are nanoseconds since the epoch then."""
    return _with_times(json.loads(path.read_text(encoding="utf-8")))


def _with_times(value):
    if isinstance(value, list):
        return [_with_times(one) for one in value]
    if isinstance(value, dict):
        return {name: nanoseconds(one) if name in _TIMES and one else _with_times(one) for name, one in value.items()}
    return value


def nanoseconds(text: str) -> int:
    """Return a time such as 2025-12-02T14:30:00.123456789Z as nanoseconds since the epoch."""
    whole, _, part = text.removesuffix("Z").partition(".")
    since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(part.ljust(9, "0") or 0)


def read_marks(path: Path):
    """Return what the launcher noted in every life, oldest first."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

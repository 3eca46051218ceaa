"""The judge of a crash run: holds the venue's own truth against what the bot left on disk.

    python -m tests.crash.checker FOLDER

It shares no code with the bot and imports nothing of it (a test sees to that): it reads the operator endpoint's JSON,
the journal with plain SQL, the trade history as a CSV file, and counts for itself.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Final

from tests.crash.books import Books, read_json, read_marks
from tests.crash.protection import NANO, outages_of, unprotected

CASH: Final = Decimal(100_000)
CENT: Final = Decimal("0.01")
ROUNDING: Final = Decimal("0.005")
"""How far a rounded amount may lie from the exact one."""
REACTION_SECONDS: Final = 1.0
"""From a fill at the venue to the stop that rests there, in a runner that lives; times the machine's load per core."""
FAULT_SECONDS: Final = 8.0
"""What a lost answer may take: the request's deadline (3 s), the wait until "not there" counts (3 s), looking it up."""
REORDER_SECONDS: Final = 2.0
"""What a message that is kept back for the next one may take: a second passes before the bot asks by itself."""
OPEN_PHASES: Final = frozenset({"working", "held"})
_DELAYING: Final = frozenset({"lost_after", "lost_before", "status", "status_after", "latency", "dropped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that must not be."""

    kind: str
    text: str


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What is to be said of one run."""

    findings: list[Finding] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    trades: int = 0
    unprotected_seconds: float = 0.0
    """The longest time for which a position stood without a closing order, in real time."""
    unexcused_seconds: float = 0.0
    """The same, less the time in which the runner was dead or recovering."""
    recoveries: list[float] = field(default_factory=list)
    """From each kill to the moment at which every broker was reconciled, in seconds."""

    def add(self, kind: str, text: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(kind=kind, text=text))


def check(folder: Path) -> Verdict:
    """Return what is to be said of the run in `folder`."""
    verdict = Verdict()
    facts = read_json(folder / "facts.json")
    truth = read_json(folder / "truth.json")
    books = Books(folder)
    lives = facts["lives"]
    marks = read_marks(folder / "lives.jsonl")
    verdict.kills = [mark["what"].removeprefix("killed ") for mark in marks if mark["what"].startswith("killed ")]
    struck = read_json(folder / "struck.json")
    kinds = [fault["rule"]["kind"] for fault in struck]
    standing = [rule for rule in facts["plan"]["faults"] if rule["kind"] == "partial" or "since" in rule]
    kinds += [f"{rule['kind']} (standing)" for rule in standing]
    verdict.faults = dict(Counter(kinds))
    _check_ends(verdict, lives, books)
    for account in truth["accounts"]:
        orders = account["orders"]
        verdict.orders += len(orders)
        verdict.fills += len(account["fills"])
        _check_ids(verdict, account, books, facts)
        _check_fills(verdict, account, books)
        _check_money(verdict, account, books)
        _check_flat(verdict, account)
    verdict.trades = len(books.trades)
    outages = outages_of(marks, lives, facts["plan"]["brokers"])
    verdict.recoveries = [round(until - since, 3) for since, until in outages]
    delaying = sum(fault["rule"]["kind"] in _DELAYING for fault in struck) + sum("since" in rule for rule in standing)
    allowed = REACTION_SECONDS * facts["load"] + FAULT_SECONDS * delaying + REORDER_SECONDS * ("reordered" in kinds)
    for account in truth["accounts"]:
        _check_protection(verdict, account, facts, outages, allowed)
    return verdict


def _check_ends(verdict: Verdict, lives, books: Books) -> None:
    for number, life in enumerate(lives, 1):
        if life["status"] not in {0, -9}:
            verdict.add("failed life", f"life {number} of the runner ended with status {life['status']}")
    if not lives or lives[-1]["status"] != 0:
        verdict.add("failed life", "the session was not brought to its end")
    if not books.session_ended:
        verdict.add("failed life", "the journal does not say that the session ended")
    if books.chain_broken:
        verdict.add("books", f"{books.chain_broken} rows of the journal do not follow the ones before them")


def _check_ids(verdict: Verdict, account, books: Books, facts) -> None:
    """Find orders twice, orders unknown to the books, intents that were written down too late or never settled."""
    name = account["name"]
    live = [order for order in account["orders"] if order["phase"] != "rejected"]
    for label, count in Counter(order["ticket"]["label"] for order in live).items():
        if count > 1:
            verdict.add("duplicate", f"{name}: {count} orders under the id {label}")
    market, real = (int(part) for part in facts["anchor"].split(":"))
    for order in account["orders"]:
        label = order["ticket"]["label"]
        intent = books.intents.get(label)
        if intent is None or intent.account != name:
            verdict.add("orphan", f"{name}: order {label!r}, {order['phase']}, is not in the journal")
            continue
        arrived = real + (order["submitted_at"] - market) / facts["speed"]
        late = (intent.recorded_at - arrived) / NANO
        if late > 0:
            verdict.add("orphan", f"{name}: {label} reached the venue {late:.3f} s before it was in the journal")
    _check_settled(verdict, name, books)
    _check_entered_once(verdict, name, live)


def _check_entered_once(verdict: Verdict, name: str, live) -> None:
    entries: defaultdict[str, list[str]] = defaultdict(list)
    for order in live:
        trade, _, leg = order["ticket"]["label"].rpartition("-")
        if leg.startswith("entry") and Decimal(order["filled"]):
            entries[trade].append(leg)
    for trade, legs in entries.items():
        if len(legs) > 1:
            verdict.add("duplicate", f"{name}: {trade} was entered {len(legs)} times: {', '.join(legs)}")


def _check_settled(verdict: Verdict, name: str, books: Books) -> None:
    for intent in books.intents.values():
        if intent.account == name and not intent.ended:
            verdict.add("orphan", f"{name}: the journal never says what became of {intent.order_id}")
    for order_id in books.repeated:
        if books.intents[order_id].account == name:
            verdict.add("duplicate", f"{name}: {order_id} was decided twice")


def _check_fills(verdict: Verdict, account, books: Books) -> None:
    there: defaultdict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    labels = {str(order["number"]): order["ticket"]["label"] for order in account["orders"]}
    for fill in account["fills"]:
        sums = there[labels[fill["client_order_id"]]]
        quantity = Decimal(fill["quantity"])
        sums[0] += quantity
        sums[1] += quantity * Decimal(fill["price"])
        sums[2] += Decimal(fill["fees"])
    for label in sorted({*there, *(i.order_id for i in books.intents.values() if i.account == account["name"])}):
        quantity, value, fees = there[label]
        intent = books.intents.get(label)
        booked = intent.filled if intent is not None else Decimal(0)
        if quantity > booked:
            verdict.add("lost fill", f"{label}: {quantity} executed, {booked} in the journal")
        elif quantity < booked:
            verdict.add("books", f"{label}: {booked} in the journal, {quantity} executed")
        elif intent is not None and abs(intent.value - value) > ROUNDING:
            verdict.add("books", f"{label}: the journal has {intent.value} dollars, the venue {value}")
        elif intent is not None and abs(intent.fees - fees) > ROUNDING:
            verdict.add("books", f"{label}: the journal has {intent.fees} dollars of fees, the venue {fees}")


def _check_money(verdict: Verdict, account, books: Books) -> None:
    """Compare the trade history with what the venue's cash and fees have become."""
    name = account["name"]
    rows = [row for row in books.trades if row["broker"] == name]
    symbols = {row["ticker"]: row for row in rows}
    if len(symbols) < len(rows):
        verdict.add("duplicate", f"{name}: a symbol has two rows in the trade history")
    earned: defaultdict[str, Decimal] = defaultdict(Decimal)
    fees: defaultdict[str, Decimal] = defaultdict(Decimal)
    orders = {str(order["number"]): order["ticket"] for order in account["orders"]}
    for fill in account["fills"]:
        ticket = orders[fill["client_order_id"]]
        symbol = ticket["instrument"]["symbol"]
        amount = Decimal(fill["quantity"]) * Decimal(fill["price"])
        earned[symbol] += (-amount if ticket["buys"] else amount) - Decimal(fill["fees"])
        fees[symbol] += Decimal(fill["fees"])
    for symbol in sorted({*earned, *symbols}):
        row = symbols.get(symbol)
        if row is None:
            verdict.add("books", f"{name}: {symbol} was traded and is not in the trade history")
            continue
        for what, booked, exact in (("PnL", row["PnL"], earned[symbol]), ("fees", row["fees"], fees[symbol])):
            if Decimal(booked) != exact.quantize(CENT, ROUND_HALF_EVEN) and abs(Decimal(booked) - exact) > ROUNDING:
                verdict.add("books", f"{name}: {symbol}: {what} {booked} in the trade history, {exact} at the venue")
    if not account["positions"] and abs(sum(earned.values()) - (Decimal(account["cash"]) - CASH)) > Decimal("1E-9"):
        verdict.add("books", f"{name}: cash {account['cash']} is not what its fills come to")


def _check_flat(verdict: Verdict, account) -> None:
    for symbol, quantity, _ in account["positions"]:
        verdict.add("not flat", f"{account['name']}: {quantity} {symbol} are held at the end")
    for order in account["orders"]:
        if order["phase"] in OPEN_PHASES:
            verdict.add("not flat", f"{account['name']}: {order['ticket']['label']} is {order['phase']} at the end")


def _check_protection(verdict: Verdict, account, facts, outages, allowed: float) -> None:
    market, real = (int(part) for part in facts["anchor"].split(":"))
    for symbol, since, until in unprotected(account):
        begun, ended = ((real + (at - market) / facts["speed"]) / NANO for at in (since, until))
        away = sum(max(min(ended, late) - max(begun, early), 0.0) for early, late in outages)
        verdict.unprotected_seconds = max(verdict.unprotected_seconds, round(ended - begun, 3))
        left = round(ended - begun - away, 3)
        verdict.unexcused_seconds = max(verdict.unexcused_seconds, left)
        if left > allowed:
            verdict.add(
                "unprotected",
                f"{account['name']}: {symbol} stood without a stop for {ended - begun:.2f} s, "
                f"{left:.2f} s of them while the runner lived",
            )


def plain(verdict: Verdict) -> Mapping[str, object]:
    """Return the verdict for JSON."""
    return asdict(verdict)


if __name__ == "__main__":
    judged = check(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(plain(judged), indent=1) + "\n")
    sys.exit(bool(judged.findings))

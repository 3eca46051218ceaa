"""The judge of crash runs is told lies of every kind about a small, clean run, and finds each by its name."""

import csv
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.checker import check
from tests.crash.scene import REPOSITORY

BELL = 1_764_685_800
ANCHOR = f"{BELL}000000000:{BELL}000000000"
TRADE = "20251202-open-alpaca-AAA"
COLUMNS = ("entry_timestamp", "ticker", "broker", "PnL", "fees")


def at(second):
    return f"2025-12-02T14:{30 + second // 60:02}:{second % 60:02}Z"


def order(number, leg, *, since, until, buys=False, filled="10"):
    ticket = {"instrument": {"symbol": "AAA"}, "buys": buys, "quantity": "10", "label": f"{TRADE}-{leg}"}
    phase = "filled" if filled == "10" else "canceled"
    return {
        "number": number, "ticket": ticket, "phase": phase, "submitted_at": at(since), "ended_at": at(until),
        "filled": filled,
    }  # fmt: skip


def fill(number, price, second, fees="0"):
    return {
        "client_order_id": str(number), "execution_id": f"x{number}", "quantity": "10", "price": price, "fees": fees,
        "transacted_at": at(second),
    }  # fmt: skip


class Tale:
    """What a run leaves: bought ten at 50, protected in the same second, sold at 51 with a cent of fees."""

    def __init__(self):
        self.orders = [
            order(1, "entry1", since=10, until=11, buys=True),
            order(2, "stop1", since=11, until=60, filled="0"),
            order(3, "exit1", since=60, until=61),
        ]
        self.fills = [fill(1, "50", 11), fill(3, "51", 61, "0.01")]
        self.cash, self.positions = "100009.99", []
        self.booked = {"entry1": 9, "stop1": 10, "exit1": 59}
        self.told = [self.filled(1), {"_": "OrderCancelled", "client_order_id": f"{TRADE}-stop1"}, self.filled(3)]
        self.rows = [("2025-12-02T14:30:11Z", "AAA", "alpaca", "9.99", "0.01")]
        self.lives = [{"begun": BELL - 1.0, "ended": BELL + 70.0, "status": 0}]
        self.ended = True

    def filled(self, number):
        found = next(one for one in self.fills if one["client_order_id"] == str(number))
        leg = {1: "entry1", 3: "exit1"}[number]
        return {"_": "OrderFilled", "fill": {**found, "client_order_id": f"{TRADE}-{leg}"}}

    def write(self, folder: Path) -> Path:
        account = {
            "name": "alpaca", "cash": self.cash, "positions": self.positions, "orders": self.orders,
            "fills": self.fills,
        }  # fmt: skip
        facts = {
            "anchor": ANCHOR,
            "speed": 1.0,
            "load": 1.0,
            "lives": self.lives,
            "plan": {"brokers": ["alpaca"], "faults": []},
        }
        for name, value in (("truth", {"accounts": [account]}), ("facts", facts), ("struck", [])):
            (folder / f"{name}.json").write_text(json.dumps(value))
        history = folder / "output" / "trades" / "trade_history_paper.csv"
        history.parent.mkdir(parents=True)
        with history.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *self.rows])
        self._write_journal(folder / "output" / "journal" / "tbot_paper.sqlite3")
        return folder

    def _write_journal(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        rows = []
        for leg, second in self.booked.items():
            request = {
                "client_order_id": f"{TRADE}-{leg}", "broker": "alpaca", "instrument": {"symbol": "AAA"},
                "trade_id": TRADE, "quantity": "10",
            }  # fmt: skip
            decided = {"_": "Decided", "outputs": [{"_": "SubmitOrder", "order": request}]}
            rows.append(("command", (BELL + second) * 10**9, decided))
        rows += [("input", 0, event) for event in self.told]
        if self.ended:
            rows.append(("command", 0, {"_": "Decided", "outputs": [{"_": "SessionEnded"}]}))
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE journal (seq INTEGER, kind, recorded_at, payload, previous_hash, hash)")
            for seq, (kind, when, payload) in enumerate(rows, 1):
                values = (seq, kind, when, json.dumps(payload), bytes([seq]), bytes([seq + 1]))
                connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.close()


def test_a_clean_run_is_found_clean(tmp_path):
    verdict = check(Tale().write(tmp_path))
    assert verdict.findings == []
    assert (verdict.orders, verdict.fills, verdict.trades) == (3, 2, 1)
    assert verdict.unprotected_seconds == 0


def sent_twice(tale):
    tale.orders.append({**tale.orders[1], "number": 4})


def unknown_order(tale):
    tale.orders[1]["ticket"]["label"] = "somebody-elses"


def intent_after_the_send(tale):
    tale.booked["entry1"] = 12


def never_settled(tale):
    del tale.told[1]


def fill_not_booked(tale):
    del tale.told[2]


def fill_booked_of_what_was_not(tale):
    del tale.fills[1]


def a_cent_less(tale):
    tale.rows[0] = (*tale.rows[0][:3], "9.98", "0.01")


def not_in_the_history(tale):
    tale.rows.clear()


def another_price(tale):
    tale.told[0]["fill"]["price"] = "50.01"


def still_held(tale):
    tale.positions.append(["AAA", "10", "50"])


def still_working(tale):
    tale.orders[1]["phase"] = "working"


def entered_twice(tale):
    tale.orders[2]["ticket"] = {**tale.orders[2]["ticket"], "label": f"{TRADE}-entry2"}


def stop_gone_too_early(tale):
    tale.orders[1]["ended_at"] = at(30)


def stop_too_late(tale):
    tale.orders[1]["submitted_at"] = at(40)


def stop_too_small(tale):
    tale.orders[1]["ticket"]["quantity"] = "9"


def died_at_last(tale):
    tale.lives[0]["status"] = 1


def never_ended(tale):
    tale.ended = False


LIES = {
    sent_twice: "duplicate", entered_twice: "duplicate", unknown_order: "orphan", intent_after_the_send: "orphan",
    never_settled: "orphan", fill_not_booked: "lost fill", fill_booked_of_what_was_not: "books", a_cent_less: "books",
    not_in_the_history: "books", another_price: "books", still_held: "not flat", still_working: "not flat",
    stop_gone_too_early: "unprotected", stop_too_late: "unprotected", stop_too_small: "unprotected",
    died_at_last: "failed life", never_ended: "failed life",
}  # fmt: skip


@pytest.mark.parametrize(("lie", "kind"), LIES.items(), ids=lambda value: getattr(value, "__name__", None))
def test_each_lie_is_found(tmp_path, lie, kind):
    tale = Tale()
    lie(tale)
    assert kind in {finding.kind for finding in check(tale.write(tmp_path)).findings}


def test_the_time_in_which_the_runner_was_dead_is_not_held_against_it(tmp_path):
    tale = Tale()
    stop_too_late(tale)
    tale.lives = [
        {"begun": BELL - 1.0, "ended": BELL + 12.0, "status": -9},
        {"begun": BELL + 12.5, "ended": BELL + 70.0, "status": 0},
    ]
    marks = [(12.0, "killed at random"), (12.6, "started"), (12.7, "resumed"), (40.0, "reconciled alpaca")]
    lines = [json.dumps({"pid": 1, "what": what, "at": int((BELL + when) * 10**9)}) for when, what in marks]
    (tmp_path / "lives.jsonl").write_text("\n".join(lines))
    verdict = check(tale.write(tmp_path))
    assert verdict.findings == []
    assert verdict.recoveries == [28.0]
    assert verdict.unprotected_seconds == 29.0
    assert verdict.unexcused_seconds == 1.0


def test_the_judge_shares_no_code_with_the_bot():
    program = "import sys, tests.crash.checker, tests.crash.report\nprint(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    loaded = {name.partition(".")[0] for name in told.stdout.split()}
    assert "sqlite3" in loaded
    assert not {name for name in loaded if name.startswith("tbot")}

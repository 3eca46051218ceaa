"""A day against its brokers: a venue that keeps its own books, and journals that agree with it, or nearly."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
import requests

import tbot_bot.reporting
from tbot_bot.accounting.accounting_api import book
from tbot_bot.accounting.ledger_reader import open_ledger_reader
from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.broker.matching import Venue
from tbot_bot.broker.venue_store import VenueStore
from tbot_bot.config.settings import load_settings
from tbot_bot.core.bars import Bar
from tbot_bot.core.events import OrderFilled
from tbot_bot.core.identity import Leg, Mode, client_order_id
from tbot_bot.core.instants import MINUTE, Instant, later
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side
from tbot_bot.journal.store import Journal, open_reader
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.ledger_desk import config_of, prove
from tbot_bot.runtime.reconciliation_desk import Reconciliation, reconcile_day, venue_of
from tests.support.crafted_day import DAY as FLOOR_DAY
from tests.support.ledger_kit import AT, DAY, Days
from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import Floor, agrees

SCHEMA = Path(tbot_bot.reporting.__file__).parent / "schemas" / "reconciliation.schema.json"
CASH = Decimal(100_000)
AAA = equity("AAA")


class House(Days):
    """A home with a journal, and a simulated account that lives through the same day."""

    def __init__(self, home):
        self.home = home
        self.records = records_for(home, Mode.PAPER, test_mode=True)
        self.config = config_of(self.records)
        self.mode, self.real = Mode.PAPER, False
        self.records.journal.parent.mkdir(parents=True)
        self.journal = Journal.open(self.config.journal, self.mode)
        self.rows, self.clock, self.executions = [], AT, 0
        self.begin("sim", cash=CASH)
        store = VenueStore(venue_of(self.records, self.session, "sim"))
        self.broker = SimulatedBroker(Venue(broker="sim", cash=CASH, is_open=lambda _: True), store=store)
        self.at = AT

    def trades(self, side, quantity, price, *, leg=Leg.ENTRY, told=True, change=lambda fill: fill):
        """Send an order that fills at `price`; the journal hears of it as it was, as `change` says, or not at all."""
        request = (
            self.order("sim", AAA, side, quantity, leg=leg)
            if told
            else OrderRequest(
                client_order_id=client_order_id("20251202-open-sim-AAA", leg, 9), trade_id="20251202-open-sim-AAA",
                broker="sim", instrument=AAA, side=side, quantity=Decimal(quantity), order_type=OrderType.MARKET,
            )
        )  # fmt: skip
        asyncio.run(self.broker.submit(request))
        self.at = later(self.at, MINUTE)
        price = Decimal(price)
        bar = Bar(
            "AAA", self.at, Instant(self.at + MINUTE), float(price), float(price), float(price), float(price), 1e6
        )
        self.broker.step_open(self.at, {"AAA": bar})
        self.broker.step_range(Instant(self.at + MINUTE), {"AAA": bar})
        for event in self.broker.drain():
            if told:
                self.event(replace(event, fill=change(event.fill)) if isinstance(event, OrderFilled) else event)

    def reconciled(self) -> Reconciliation:
        self.write()
        found = asyncio.run(reconcile_day(load_settings(self.home, {}, defaults_if_absent=True), self.records, DAY))
        assert found is not None
        data = json.loads(self.records.reconciliation(DAY).read_text())
        jsonschema.validate(data, json.loads(SCHEMA.read_text()))
        return found


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.close()


def figures(found):
    return [(one.figure.value, one.by) for _, one in found.differences]


def test_a_day_that_agrees_passes_and_the_ledger_says_so(house):
    house.trades(Side.BUY, 10, "50")
    house.trades(Side.SELL, 10, "51", leg=Leg.EXIT)
    house.write()
    book(house.config, at=AT, journal=house.journal)
    found = house.reconciled()
    assert found.passed
    assert found.lines() == ()
    (one,) = found.brokers
    assert (one.orders, one.fills, one.positions, one.complete) == (2, 2, (), True)
    assert one.cash == one.cash_told == CASH + 10 - one.fees
    with open_ledger_reader(house.config.ledger) as ledger:
        state = ledger.days()[DAY]
        assert state.reconciled_to == ledger.head()[0]
    assert not found.locked, "a rehearsed day may be rehearsed again"
    assert prove(house.config).sound
    assert prove(house.config).reconciliations == 1


def test_a_fill_that_the_books_lack_is_named_with_its_order_and_quantity(house):
    house.trades(Side.BUY, 10, "50")
    house.trades(Side.SELL, 10, "51", leg=Leg.EXIT)
    house.trades(Side.BUY, 3, "50", told=False)
    found = house.reconciled()
    assert not found.passed
    assert dict(figures(found))["fill"] == 3
    assert dict(figures(found))["order"] == 3
    assert dict(figures(found))["position"] == 3
    assert dict(figures(found))["cash"] < -149
    assert any("20251202-open-sim-AAA-entry9" in line and "not in our books" in line for line in found.lines())


def test_a_fee_off_by_a_cent_is_named_with_its_order_and_the_cent(house):
    cent = Decimal("0.01")
    house.trades(Side.BUY, 10, "50", change=lambda fill: replace(fill, fees=fill.fees + cent))
    house.trades(Side.SELL, 10, "51", leg=Leg.EXIT)
    found = house.reconciled()
    assert figures(found) == [("fees", -cent), ("cash", cent)]
    assert "20251202-open-sim-AAA-entry1" in found.lines()[0]


def test_an_execution_that_only_the_books_have_is_named(house):
    house.trades(Side.BUY, 10, "50")
    house.trades(Side.SELL, 10, "51", leg=Leg.EXIT)
    ghost = house.order("sim", AAA, Side.BUY, 2, attempt=7)
    house.fill(ghost, "50", execution="ghost")
    found = house.reconciled()
    assert {"order", "fill", "position", "cash"} <= {name for name, _ in figures(found)}
    assert any("ghost" in line and "sim has none" in line for line in found.lines())


def test_a_price_that_differs_and_an_order_that_rests_are_named(house):
    house.trades(Side.BUY, 10, "50", change=lambda fill: replace(fill, price=fill.price + 1))
    late = house.order("sim", AAA, Side.SELL, 10, leg=Leg.EXIT)
    asyncio.run(house.broker.submit(late))
    found = house.reconciled()
    assert dict(figures(found))["fill"] == -1
    assert any("still rests for 10" in line for line in found.lines())


def test_books_and_ledger_that_part_are_told_apart(house):
    house.trades(Side.BUY, 10, "50")
    house.write()
    book(house.config, at=AT, journal=house.journal)
    house.trades(Side.SELL, 10, "51", leg=Leg.EXIT)
    found = house.reconciled()
    assert {name for name, _ in figures(found)} == {"ledger_cash", "ledger_position"}


def test_an_account_that_was_not_kept_is_not_taken_for_agreement(house):
    house.trades(Side.BUY, 10, "50")
    asyncio.run(house.broker.close())
    venue_of(house.records, house.session, "sim").unlink()
    found = house.reconciled()
    assert not found.passed
    assert "was not kept" in found.unreached[0].why


def test_the_command_names_differences_and_ends_with_one(house):
    house.trades(Side.BUY, 10, "50", told=False)
    house.write()
    told = tbot(house.home, "reconcile")
    assert told.returncode == 1, told.stderr
    assert "differs: order 20251202-open-sim-AAA-entry9" in told.stdout
    assert "NOT PASSED" in told.stdout
    as_json = tbot(house.home, "reconcile", DAY.isoformat(), "--json")
    assert json.loads(as_json.stdout)["passed"] is False


def test_a_job_killed_at_any_step_leaves_no_half_report(house):
    house.trades(Side.BUY, 10, "50")
    house.trades(Side.SELL, 10, "51", leg=Leg.EXIT)
    house.reconciled()
    path = house.records.reconciliation(DAY)
    for delay in (0.3, 0.5, 0.7, 0.9, 1.1):
        process = subprocess.Popen(
            [sys.executable, "-c", CLI, "reconcile"], env={**os.environ, "TBOT_HOME": str(house.home)},
            cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        jsonschema.validate(json.loads(path.read_text()), json.loads(SCHEMA.read_text()))


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_whole_session_agrees_with_alpaca_and_a_stranger_in_the_account_is_listed_apart(tmp_path):
    floor = Floor(tmp_path, speed=60)
    try:
        floor.start()
        assert floor.end() == 0
        agrees(floor)
        first = json.loads(tbot(tmp_path, "reconcile", "--json").stdout)
        assert first["passed"], first
        (one,) = first["brokers"]
        assert (one["broker"], one["account"], one["complete"], one["foreign_positions"]) == (
            "alpaca", "account", True, [],
        )  # fmt: skip
        assert [missing["figure"] for missing in one["not_compared"]] == ["fees"]

        keys = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}
        order = {"symbol": "BBB", "qty": "5", "side": "buy", "type": "market", "time_in_force": "day"}
        url = floor.told["settings"]["ALPACA_PAPER_URL"]
        assert requests.post(f"{url}/v2/orders", json=order, headers=keys, timeout=10).status_code == 200
        end = time.monotonic() + 20
        while not floor.truth()["positions"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        (shared,) = json.loads(tbot(tmp_path, "reconcile", FLOOR_DAY.isoformat(), "--json").stdout)["brokers"]
        assert shared["passed"]
        assert not shared["complete"]
        assert shared["foreign_positions"] == [{"symbol": "BBB", "quantity": "5"}]
        assert {missing["figure"] for missing in shared["not_compared"]} == {"fees", "cash"}
        with open_reader(tmp_path / "output" / "journal" / "tbot_paper.sqlite3") as journal:
            assert journal.sessions()
    finally:
        floor.close()

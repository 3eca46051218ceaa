"""Journals of trades made by hand or by lot, books made of them, and the judgement of beancount and hledger."""

import random
import shutil
import subprocess
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from tbot_bot.accounting.accounting_api import book
from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.exporters import EXPORTERS
from tbot_bot.accounting.ledger_reader import open_ledger_reader
from tbot_bot.accounting.units import dollars_of
from tbot_bot.accounting.verify import verify
from tbot_bot.core.commands import Decided, SessionEnded, SharesFixed, SubmitOrder, TradeRecord
from tbot_bot.core.events import AccountsRead, FillBusted, OrderFilled
from tbot_bot.core.identity import Leg, Mode, SessionId, StrategyName, client_order_id, trade_id
from tbot_bot.core.instants import SECOND, Instant, parse_iso
from tbot_bot.core.instruments import FRACTION_STEP, Instrument, equity, put_option
from tbot_bot.core.orders import Capabilities, Direction, Fill, OrderRequest, OrderType, Position, Side
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, open_reader
from tbot_bot.trading.spec import BrokerSpec
from tests.support.scenario import account, spec_of

DAY = date(2025, 12, 2)
AT = parse_iso("2025-12-02T15:00:00Z")
PUT = put_option("AAA", date(2025, 12, 19), Decimal(50))
NOW = Instant(1_800_000_000 * SECOND)
REAL = Capabilities(real_orders=True, live=True)


def D(text):  # noqa: N802 - short, it stands everywhere
    return Decimal(str(text))


class Days:
    """A journal that is written fact by fact, and the books beside it."""

    def __init__(self, home, *, mode=Mode.PAPER, real=False):
        self.config = BooksConfig(mode=mode, ledger=home / "ledger.sqlite3", journal=home / "journal.sqlite3")
        self.mode, self.real = mode, real
        self.journal = Journal.open(self.config.journal, mode)
        self.rows = []
        self.clock = AT
        self.executions = 0
        self.session = SessionId(day=DAY, strategy=StrategyName.OPEN)

    def close(self):
        self.journal.close()

    def _row(self, value, kind, session=""):
        name = str(self.session) if session is None else session
        self.rows.append(
            Entry.of(value, kind=kind, at=self.clock, recorded_at=self.clock, session=name, input_number=1)
        )

    def control(self, value):
        self._row(value, Kind.CONTROL)

    def error(self, value):
        self._row(value, Kind.ERROR, None)

    def event(self, value):
        self._row(value, Kind.INPUT, None)

    def answer(self, *outputs):
        self._row(Decided(number=1, at=self.clock, tape_digest="", outputs=outputs), Kind.COMMAND, None)

    def begin(self, *brokers, day=DAY, strategy=StrategyName.OPEN, run=1, cash="100000", foreign=()):
        """Begin a session at `brokers`, each with `cash`."""
        self.session = SessionId(day=day, strategy=strategy, run=run)
        self.clock = Instant(AT + (day - DAY).days * 86_400 * SECOND)
        can = REAL if self.real else Capabilities(real_orders=False, live=False)
        spec = replace(
            spec_of(strategy), session=self.session, day=day, mode=self.mode,
            brokers=tuple(BrokerSpec(name=name, capabilities=can) for name in brokers),
        )  # fmt: skip
        self._row(spec, Kind.SESSION, None)
        read = AccountsRead(
            at=self.clock, accounts=tuple(account(name, cash) for name in brokers), foreign_positions=foreign
        )
        self.event(read)

    def order(self, broker, instrument, side, quantity, *, leg=Leg.ENTRY, attempt=1, symbol=None):
        trade = trade_id(self.session, broker, symbol or instrument.underlying or instrument.symbol)
        request = OrderRequest(
            client_order_id=client_order_id(trade, leg, attempt), trade_id=trade, broker=broker, instrument=instrument,
            side=side, quantity=D(quantity), order_type=OrderType.MARKET,
        )  # fmt: skip
        self.answer(SubmitOrder(order=request))
        return request

    def fill(self, order, price, quantity=None, fees="0", execution=None):
        self.executions += 1
        self.clock = Instant(self.clock + SECOND)
        told = Fill(
            execution_id=execution or f"x{self.executions}", client_order_id=order.client_order_id, price=D(price),
            quantity=order.quantity if quantity is None else D(quantity), fees=D(fees), transacted_at=self.clock,
        )  # fmt: skip
        self.event(OrderFilled(at=self.clock, fill=told))
        return told.execution_id

    def trade(self, broker, instrument, side, quantity, price, fees="0", **rest):
        """Send an order that fills whole; return its execution's id."""
        return self.fill(self.order(broker, instrument, side, quantity, **rest), price, fees=fees)

    def bust(self, execution, order=""):
        self.event(FillBusted(at=self.clock, execution_id=execution, client_order_id=order))

    def over(self, broker, symbol, *, slippage="0", **changes):
        """Record a trade as over."""
        record = TradeRecord(
            at=self.clock, entered_at=self.clock, trade_id=trade_id(self.session, broker, symbol),
            strategy=self.session.strategy, ticker=symbol, underlying=symbol, side=Direction.LONG, instrument=symbol,
            size=D(1), entry_price=D(1), exit_price=D(1), pnl=D(0), fees=D(0), slippage=D(slippage),
            exit_reason="time", broker=broker, mode=self.mode, session_id=str(self.session), tags=(), error_code="",
            signal_to_order_ns=0, order_to_fill_ns=0,
        )  # fmt: skip
        made = replace(record, **changes)
        self.answer(made)
        return made

    def shares(self, broker, budget):
        self.answer(
            SharesFixed(at=self.clock, broker=broker, float_equity=D(1), budget=D(budget), live_candidates=1, shares=())
        )

    def ended(self):
        self.answer(
            SessionEnded(at=self.clock, reason="over", candidates=0, signaled=0, entered=0, exited=0, realized=())
        )

    def write(self):
        self.journal.append(self.rows)
        self.rows = []

    def book(self):
        """Write what was told and book it."""
        self.write()
        return book(self.config, at=NOW, journal=self.journal)

    def reader(self):
        return open_ledger_reader(self.config.ledger)

    def verdict(self, *reconciled):
        with self.reader() as ledger, open_reader(self.config.journal) as journal:
            return verify(ledger, journal, reconciled)

    def balances(self):
        """Return dollars by account's name, those of zero left out; `Simulated-` is left out of the names."""
        with self.reader() as ledger:
            return {
                one.account.name.replace("Simulated-", ""): dollars_of(one.amount)
                for one in ledger.balances()
                if one.amount
            }

    def entries(self):
        with self.reader() as ledger:
            return [stored.entry for stored in ledger.entries()]

    def lots(self):
        """Return (broker, instrument, quantity, cost) of what is held, oldest first."""
        with self.reader() as ledger:
            return [
                (lot.broker, lot.instrument, dollars_of(lot.quantity), dollars_of(lot.cost))
                for lot in ledger.open_lots()
            ]


SYMBOLS = (equity("AAA", fractional=True), equity("BBB"), equity("CCC", fractional=True), PUT)


class Dice:
    """Random histories: long, short, partial, fractional, puts, fees, several brokers, executions undone."""

    def __init__(self, days, seed, brokers=("one", "two")):
        self.days, self.dice, self.brokers = days, random.Random(seed), brokers
        self.held = {}
        self.moves = []
        """(broker, instrument, signed quantity, price, execution, order) of what was not undone, in order."""
        self.attempt = 0

    def _price(self, instrument):
        cents = self.dice.randrange(1, 900_000)
        return D(cents) / (10_000 if instrument.asset_class == "equity" else 100)

    def _quantity(self, instrument: Instrument):
        if instrument.quantity_step == FRACTION_STEP:
            return D(self.dice.randrange(1, 200 * 10**9)) * FRACTION_STEP
        return D(self.dice.randrange(1, 60))

    def step(self):
        """Buy or sell something, perhaps more than is held the other way round."""
        broker, instrument = self.dice.choice(self.brokers), self.dice.choice(SYMBOLS)
        buys = self.dice.random() < 0.5
        held = self.held.get((broker, instrument.symbol), D(0))
        quantity = self._quantity(instrument)
        if held and (held > 0) is not buys and self.dice.random() < 0.5:
            quantity = abs(held)
        side = (Side.BUY if held >= 0 else Side.BUY_TO_COVER) if buys else (Side.SELL if held > 0 else Side.SELL_SHORT)
        self.attempt += 1
        order = self.days.order(broker, instrument, side, quantity, attempt=self.attempt)
        parts = [quantity]
        if self.dice.random() < 0.2 and quantity > 2:
            first = (quantity / 3).quantize(instrument.quantity_step, rounding="ROUND_DOWN")
            parts = [first, quantity - first]
        for part in parts:
            price = self._price(instrument)
            fees = D(self.dice.randrange(0, 300)) / 10_000
            execution = self.days.fill(order, price, part, fees)
            signed = part if buys else -part
            self.moves.append((broker, instrument, signed, price, execution, order))
            self.held[broker, instrument.symbol] = self.held.get((broker, instrument.symbol), D(0)) + signed
            if self.dice.random() < 0.02:
                self.days.event(
                    OrderFilled(
                        at=self.days.clock,
                        fill=Fill(
                            execution_id=execution, client_order_id=order.client_order_id, price=price, quantity=part,
                            fees=fees, transacted_at=self.days.clock,
                        ),
                    )
                )  # fmt: skip
        if self.dice.random() < 0.03:
            self.undo(self.dice.randrange(max(0, len(self.moves) - 12), len(self.moves)))

    def undo(self, number):
        broker, instrument, signed, _, execution, order = self.moves.pop(number)
        self.days.bust(execution, order.client_order_id)
        self.held[broker, instrument.symbol] -= signed

    def run(self, steps, *, days=1):
        for number in range(days):
            self.days.begin(*self.brokers, day=DAY + timedelta(days=number))
            for _ in range(steps // days):
                self.step()
            self.days.ended()


def beancount_own(moves):
    """Return (gains by broker, lots) as beancount's own FIFO booking finds them."""
    from beancount import loader  # noqa: PLC0415 - heavy
    from beancount.core import data, inventory, position  # noqa: PLC0415

    lines = ['option "booking_method" "FIFO"', 'option "tolerance_multiplier" "0"', "2020-01-01 open Equity:Plug"]
    lines += [f"2020-01-01 open Assets:{name.title()}" for name in sorted({move[0] for move in moves})]
    held: dict[tuple[str, str], Decimal] = {}
    prices: list[Decimal] = []
    words = {instrument.symbol: f"S{number}X" for number, instrument in enumerate(SYMBOLS)}
    for broker, instrument, signed, price, _, _ in moves:
        before = held.get((broker, instrument.symbol), D(0))
        closing = (
            D(0)
            if before == 0 or (before > 0) == (signed > 0)
            else max(min(abs(signed), abs(before)), D(0)).copy_sign(signed)
        )
        held[broker, instrument.symbol] = before + signed
        each, name = price * instrument.multiplier, words[instrument.symbol]
        for part, cost in ((closing, "{}"), (signed - closing, f"{{{each} USD}}")):
            if part:
                prices.append(each)
                lines += [
                    f'2025-01-01 * "n{len(prices) - 1}"',
                    f"  Assets:{broker.title()}  {part:f} {name} {cost}",
                    "  Equity:Plug",
                ]
    entries, errors, _ = loader.load_string("\n".join(lines) + "\n")
    assert not errors, errors[:2]
    gains: dict[str, Decimal] = {}
    positions: dict[str, inventory.Inventory] = {}
    for entry in sorted((one for one in entries if isinstance(one, data.Transaction)), key=_number):
        each = prices[_number(entry)]
        for posting in entry.postings:
            if posting.account == "Equity:Plug":
                continue
            box = positions.setdefault(posting.account, inventory.Inventory())
            _, kind = box.add_position(posting)
            if kind == inventory.MatchResult.REDUCED:
                assert posting.units is not None
                assert isinstance(posting.cost, position.Cost)
                gains[posting.account] = gains.get(posting.account, D(0)) - posting.units.number * (
                    each - posting.cost.number
                )
    return gains, positions, words


def _number(entry):
    return int(entry.narration[1:])


def exported(days, tmp_path):
    """Return the ledger's own totals by account, and its files for beancount and hledger."""
    with days.reader() as ledger:
        mine = {one.account.name: dollars_of(one.amount) for one in ledger.balances()}
        texts = {name: "".join(f"{line}\n" for line in exporter.write(ledger)) for name, exporter in EXPORTERS.items()}
    for name in ("beancount", "hledger"):
        (tmp_path / f"books.{name}").write_text(texts[name])
    return mine, tmp_path / "books.beancount", tmp_path / "books.hledger"


def bean_totals(path):
    from beancount import loader  # noqa: PLC0415 - heavy
    from beancount.core import data  # noqa: PLC0415

    entries, errors, _ = loader.load_file(str(path))
    totals: dict[str, Decimal] = {}
    for entry in entries:
        for posting in entry.postings if isinstance(entry, data.Transaction) else ():
            assert posting.units is not None
            totals[posting.account] = totals.get(posting.account, D(0)) + posting.units.number
    return totals, errors


def hledger_or_skip():
    found = shutil.which("hledger")
    if found is None:
        pytest.skip("hledger is not on PATH: its judgement of the books is not proven here")
    return found


def hledger(*words):
    return subprocess.run([hledger_or_skip(), *words], capture_output=True, text=True, check=False, timeout=300)


def hledger_totals(path):
    told = hledger("-f", str(path), "balance", "--flat", "--empty", "--no-total", "-O", "csv")
    assert told.returncode == 0, told.stderr
    rows = [line.split(",") for line in told.stdout.splitlines()[1:]]
    return {row[0].strip('"'): D(row[1].strip('"').split()[0]) for row in rows}


def foreign(broker, symbol, quantity, price):
    return Position(broker=broker, instrument=equity(symbol), quantity=D(quantity), average_price=D(price))

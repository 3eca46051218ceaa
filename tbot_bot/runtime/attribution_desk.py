"""The attribution of a day: read the journal and its tapes, trade them again at a simulated venue, leave the report."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.accounting.attribution import FORM, Attribution, NotCompared, TradePair, attribute, is_entry, sums
from tbot_bot.accounting.second_run import SecondRun, TapedBars, run_again
from tbot_bot.broker.pricing import number
from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import loads
from tbot_bot.core.identity import OrderName, SessionId
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import Fill, OrderRequest
from tbot_bot.journal.session_log import read_session
from tbot_bot.journal.store import JournalReader
from tbot_bot.journal.tape import TapeReader
from tbot_bot.reporting.atomic import replace_file
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.shapes import text_of, to_plain
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.reconciliation_desk import open_journal
from tbot_bot.trading.spec import SessionSpec

NO_PUT_PRICES: Final = "a tape has no prices of puts"
NO_BARS: Final = "no tape has bars of it"


def attribute_day(records: OutputPaths, day: date) -> Attribution:
    """Compare every trade of `day` with the simulator's and write the report.

    Raises:
        TbotError: journal or tapes cannot be read.
        OSError: the report cannot be written.
    """
    with open_journal(records) as journal:
        sessions = [SessionId.parse(name) for name in journal.sessions_of(day)]
        bars = TapedBars()
        for session in sessions:
            path = records.tape(session)
            for event in TapeReader(path) if path.exists() else ():
                bars.take(event.bars)
        found = [one for session in sessions for one in _compared(journal, records, session, bars)]
    trades = tuple(attribute(one) for one in found if isinstance(one, TradePair))
    made = Attribution(
        form=FORM, mode=records.mode, day=day, at=wall_now(), total=sums(trades),
        brokers=tuple(sums(trades, name) for name in sorted({one.broker for one in trades})), trades=trades,
        not_compared=tuple(one for one in found if isinstance(one, NotCompared)),
    )  # fmt: skip
    path = records.attribution(day)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{text_of(to_plain(made), indent=2)}\n".encode())
    return made


def _compared(
    journal: JournalReader, records: OutputPaths, session: SessionId, bars: TapedBars
) -> Iterator[TradePair | NotCompared]:
    record = read_session(journal, records.journal_folder, session)
    spec = loads(record.spec_payload) if record.spec_payload else None
    if not isinstance(spec, SessionSpec):
        raise JournalError(f"session {session} has no readable specification", where=str(journal.path))
    again = run_again(spec, bars, record.inputs, record.decoded_commands())
    entries = {one.trade_id: one for one in again.orders.values() if is_entry(one.client_order_id)}
    for trade_id, entry in entries.items():
        if entry.instrument.asset_class is AssetClass.OPTION:
            yield NotCompared(trade_id=trade_id, why=NO_PUT_PRICES)
        elif entry.instrument.symbol not in bars.last:
            yield NotCompared(trade_id=trade_id, why=NO_BARS)
        else:
            yield _pair(again, entry, bars)


def _pair(again: SecondRun, entry: OrderRequest, bars: TapedBars) -> TradePair:
    real = [one for one in again.real.values() if _trade_of(one) == entry.trade_id]
    last = bars.last[entry.instrument.symbol]
    simulated = again.simulated(entry.trade_id)
    beyond = [one for one in real if one.transacted_at >= last.end]
    given = _given(beyond, simulated)
    return TradePair(
        first=entry, real=real, simulated=[*simulated, *given], last_price=number(last.close), beyond_tape=bool(given)
    )


def _given(beyond: list[Fill], simulated: list[Fill]) -> list[Fill]:
    """Return the executions after the last bar that the simulated account can have had too."""
    given: list[Fill] = []
    entered = any(is_entry(one.client_order_id) for one in simulated)
    for fill in beyond:
        quantity = _held([*simulated, *given])
        if is_entry(fill.client_order_id):
            quantity = ZERO if entered else fill.quantity
        quantity = min(fill.quantity, quantity)
        if quantity > ZERO:
            given.append(fill if quantity == fill.quantity else replace(fill, quantity=quantity))
    return given


def _held(fills: list[Fill]) -> Decimal:
    return sum((one.quantity if is_entry(one.client_order_id) else -one.quantity for one in fills), ZERO)


def _trade_of(fill: Fill) -> str:
    name = OrderName.parse(fill.client_order_id)
    return "" if name is None else name.trade


__all__ = ["attribute_day"]

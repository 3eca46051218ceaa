"""A day told by hand: the records of three sessions, with figures that can be checked on paper."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from tbot_bot.core import commands as c
from tbot_bot.core import events as e
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import MILLISECOND, MINUTE, Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Direction, Fill, OrderRequest, OrderType, Side
from tbot_bot.core.screening import Outcome, RuleOutcome
from tbot_bot.reporting.noted import ErrorRaised, SessionSkipped
from tests.support.scenario import BELL, account, spec_of, verdict

DAY = date(2025, 12, 2)
LONG, SHORT = Direction.LONG, Direction.BEARISH


def at(minute):
    return Instant(BELL + round(minute * MINUTE))


def session(strategy=StrategyName.OPEN, run=1):
    return SessionId(day=DAY, strategy=strategy, run=run)


def spec(strategy=StrategyName.OPEN, run=1, **changes):
    return spec_of(strategy, session=session(strategy, run), **changes)


def decided(number, moment, *outputs):
    return c.Decided(number=number, at=moment, tape_digest="", outputs=tuple(outputs))


def order(symbol="AAA", side=Side.BUY, quantity="10", leg="entry1", trade="t1", broker="sim"):
    return OrderRequest(
        client_order_id=f"{trade}-{leg}",
        trade_id=trade,
        broker=broker,
        instrument=equity(symbol),
        side=side,
        quantity=Decimal(quantity),
        order_type=OrderType.LIMIT,
        limit_price=Decimal("100.10"),
    )


def filled(moment, order_id, price, quantity="10", execution="x1"):
    fill = Fill(
        execution_id=execution, client_order_id=order_id, price=Decimal(price), quantity=Decimal(quantity),
        fees=Decimal("0.25"), transacted_at=moment,
    )  # fmt: skip
    return e.OrderFilled(at=moment, fill=fill)


def trade(pnl="12.50", symbol="AAA", strategy=StrategyName.OPEN, run=1, broker="sim", minute=60, **changes):
    base = c.TradeRecord(
        at=at(minute),
        entered_at=at(minute - 30),
        trade_id=f"20251202-{strategy}-{broker}-{symbol}",
        strategy=strategy,
        ticker=symbol,
        underlying=symbol,
        side=LONG,
        instrument=symbol,
        size=Decimal(10),
        entry_price=Decimal("100.10"),
        exit_price=Decimal("101.40"),
        pnl=Decimal(pnl),
        fees=Decimal("0.50"),
        slippage=Decimal("0.30"),
        exit_reason="trailing_stop",
        broker=broker,
        mode=Mode.PAPER,
        session_id=str(session(strategy, run)),
        tags=(),
        error_code="",
        signal_to_order_ns=2 * MILLISECOND,
        order_to_fill_ns=400 * MILLISECOND,
    )
    return replace(base, **changes)


def ended(moment, reason="flat after the entry window", **counts):
    numbers = {"candidates": 0, "signaled": 0, "entered": 0, "exited": 0} | counts
    return c.SessionEnded(at=moment, reason=reason, realized=(("sim", Decimal("12.50")),), **numbers)


def phase(moment, name, reason="its time has come"):
    return c.PhaseEntered(at=moment, phase=c.Phase(name), reason=reason)


def signal(moment, symbol, price="100.00", side=LONG):
    reason = f"close {price} broke the opening range high 99.80 by 0.20 with volume 1.8 times the average"
    return c.SignalRaised(at=moment, symbol=symbol, direction=side, price=Decimal(price), score=1.5, reason=reason)


def drop(moment, symbol, broker="sim", code="max_trades"):
    check = c.CheckAnswered(rule=code, objection=True, reason="4 of 4 trades are taken")
    return c.SignalDropped(
        at=moment, trade_id=f"20251202-open-{broker}-{symbol}", broker=broker, symbol=symbol, direction=SHORT,
        code=code, reason="4 of 4 trades are taken", checks=(check,),
    )  # fmt: skip


def open_story(run=1, pnl="12.50"):
    """Yield (session, item): one trade won, one refusal, one trade that never filled, a partial fill."""
    own = session(StrategyName.OPEN, run)
    passed = replace(verdict("AAA", 1), rules=(RuleOutcome(rule="price", outcome=Outcome.PASSED, detail="100 > 5"),))
    entry, late = order(), order("CCC", trade="t3")
    items = [
        spec(StrategyName.OPEN, run),
        e.AccountsRead(at=at(-5), accounts=(account(equity="500000"),)),
        e.ScreenCompleted(at=at(-5), source="hand", verdicts=(passed, verdict("BBB", 2), verdict("CCC", 3))),
        decided(3, at(-5), phase(at(-5), "screen"), c.CandidatesChosen(
            at=at(-5), symbols=("AAA", "BBB", "CCC"), screened=40, description="range of the first 20 minutes")),
        decided(9, at(20), phase(at(20), "breakout"), c.SharesFixed(
            at=at(20), broker="sim", float_equity=Decimal(500100), budget=Decimal(10002), live_candidates=3,
            shares=(Decimal("0.4"), Decimal("0.3"), Decimal("0.3")))),
        decided(12, at(22), signal(at(22), "AAA"), c.FilterAsked(
            at=at(22), symbol="AAA", filter="vix", verdict="agrees", missing=True, reason="no VIX"), c.TradeApproved(
            at=at(22), trade_id="t1", broker="sim", symbol="AAA", instrument="AAA", direction=LONG, short_type=None,
            quantity=Decimal(10), decision_price=Decimal("100.00"), allotted=Decimal("4000.8"), checks=()),
            c.SubmitOrder(order=entry)),
        e.OrderAcknowledged(at=at(22), client_order_id="t1-entry1", broker_order_id="B1"),
        filled(at(22.1), "t1-entry1", "100.10"),
        decided(14, at(22.1), c.TradeOpened(at=at(22.1), trade_id="t1", price=Decimal("100.10"), quantity=Decimal(10)),
                c.StopMoved(at=at(22.1), trade_id="t1", watched="AAA", price=Decimal("98.10"), quantity=Decimal(10))),
        decided(15, at(23), signal(at(23), "BBB", side=SHORT), drop(at(23), "BBB"), signal(at(23), "CCC"),
                c.SubmitOrder(order=late)),
        filled(at(24), "t3-entry1", "50", quantity="4", execution="x7"),
        e.OrderExpired(at=at(25), client_order_id="t3-entry1"),
        e.OrderRejected(at=at(26), client_order_id="t3-exit1", reason="no such position"),
        decided(20, at(31), c.ExitDecided(at=at(31), trade_id="t1", code="trailing_stop", reason="low 101.30"),
                trade(pnl, run=run, trade_id="t1"),
                trade("0", "CCC", run=run, entered_at=None, entry_price=None, exit_price=None,
                fees=Decimal(0), slippage=Decimal(0), exit_reason="never filled", error_code="entry_expired")),
        decided(21, at(32), c.NonDecision(at=at(32), symbol="DDD", reason="high 12.40 stayed 0.03 below the range"),
                c.AnomalySeen(at=at(32), client_order_id="t9", text="a fill for an order nobody sent"),
                phase(at(32), "report"), ended(at(32), candidates=3, signaled=3, entered=1, exited=1)),
    ]  # fmt: skip
    return [(own, item) for item in items]


def mid_story():
    """Yield (session, item): two trades lost, one flat, at two brokers."""
    own, mid = session(StrategyName.MID), StrategyName.MID
    items = [
        spec(mid, tags=("DEFENSE_MODE_ACTIVE",)),
        decided(1, at(60), phase(at(60), "analysis"), signal(at(75), "AAA"), signal(at(76), "EEE", side=SHORT)),
        decided(2, at(80), trade("-20.25", "EEE", mid, minute=100, side=SHORT, signal_to_order_ns=4 * MILLISECOND)),
        decided(3, at(90), trade("-1.00", "AAA", mid, broker="alpaca", minute=110)),
        decided(4, at(95), trade("0", "FFF", mid, minute=111, exit_reason="time")),
        ErrorRaised(at=at(96), error_class="NetworkError", code="NETWORK", severity="warning", where="sim", text="cut"),
        decided(5, at(112), ended(at(112))),
    ]
    return [(own, item) for item in items]


def whole_day():
    skipped = SessionSkipped(at=at(300), day=DAY, strategy=StrategyName.CLOSE, reason="early close")
    return [*open_story(), *mid_story(), (None, skipped)]

"""Our side of `bench_rivals.py`: the settings, the rules as plain numbers, and our trades as a table."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.rivals.plan import MINUTES, Floats, Rule
from benchmarks.tape_of_arrays import steady_vix
from tbot_bot.backtest.array_engine import ArrayEngine
from tbot_bot.backtest.bar_arrays import BarArrays
from tbot_bot.backtest.campaign import Setting, setting_of
from tbot_bot.backtest.model import BacktestRequest, BacktestTrade
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MINUTE
from tbot_bot.core.orders import Direction

FIRST, LAST = date(2023, 1, 1), date(2024, 12, 31)
_NOWHERE: Final = Path("no-such-home")
_WITHIN_A_BAR: Final = ("stop", "trailing_stop")
_KINDS: Final = {StrategyName.OPEN: 0, StrategyName.MID: 1, StrategyName.CLOSE: 2}
_OVERRIDES: Final = {
    # The rivals know no puts and no inverse funds: what falls is sold short.
    "SHORT_TYPE_OPEN": "ShortSell",
    "SHORT_TYPE_MID": "ShortSell",
    "SHORT_TYPE_CLOSE": "ShortSell",
    # A filter that lets a symbol wait would enter it at a later bar than the bare rule does.
    "ADX_FILTER_ENABLED": "false",
    "BOLLINGER_FILTER_ENABLED": "false",
    # By default this tape, which is made of small steps, gives OPEN no signal at all, MID and fades hardly any.
    "STRAT_OPEN_BUFFER": "0.005",
    "STRAT_MID_VWAP_THRESHOLD": "0.01",
    "CLOSE_FADE_Z": "2",
}


def own_setting(strategy: StrategyName, **more: str) -> Setting:
    """Return the settings under which `strategy` runs alone; what `_OVERRIDES` and `more` leave is as it comes."""
    overrides = tuple({**_OVERRIDES, **more}.items())
    return setting_of(
        BacktestRequest(
            home=_NOWHERE, data=_NOWHERE, first=FIRST, last=LAST, strategies=(strategy,), overrides=overrides
        )
    )


def own_engine(arrays: BarArrays) -> ArrayEngine:
    return ArrayEngine(arrays, {}, steady_vix(arrays))


def rules_of(engine: ArrayEngine, **more: str) -> tuple[Rule, ...]:
    """Return each strategy's rule in minutes and fractions, as the settings in force make it."""
    found = []
    for name, kind in _KINDS.items():
        setting = own_setting(name, **more)
        scan = engine.scan_of(setting, name, engine.days)
        assert scan is not None
        bot = setting.settings.bot
        stop, hold = {
            StrategyName.OPEN: (bot.open_trailing_stop_pct, bot.open_monitoring_time),
            StrategyName.MID: (bot.mid_stop_loss_pct, bot.mid_monitoring_time),
            StrategyName.CLOSE: (bot.close_stop_loss_pct, bot.close_monitoring_time),
        }[name]
        minutes = (scan.windows[:, 1:] - scan.windows[:, :1]) // MINUTE
        numbers = [*scan.numbers.tolist(), 0.0]
        found.append(
            Rule(
                name=name.value,
                kind=kind,
                numbers=(numbers[0], numbers[1]),
                stop=float(stop),
                trailing=name is StrategyName.OPEN,
                hold=hold // MINUTE,
                last=MINUTES - bot.close_hard_exit_minutes,
                windows=tuple((begin, measured, end) for begin, measured, end in minutes.tolist()),
            )
        )
    return tuple(found)


def table_of_trades(arrays: BarArrays, trades: Sequence[BacktestTrade]) -> Floats:
    """Return our trades as the rivals tell theirs: symbol, day, rows of entry, side, row of exit, prices."""
    names = {name: row for row, name in enumerate(arrays.names)}
    days = {day: column for column, day in enumerate(arrays.days)}
    found = np.empty((len(trades), 7))
    for number, trade in enumerate(trades):
        record, symbol, day = trade.record, names[trade.watched], days[trade.day]
        assert trade.exited_at is not None
        assert record.entry_price is not None
        assert record.exit_price is not None
        bell = int(arrays.start[arrays.bell[symbol, day]])
        within = record.exit_reason in _WITHIN_A_BAR  # told when the bar is complete
        instants = (trade.entered_at, trade.exited_at - within)
        entry, left = (day * MINUTES + (at - bell) // MINUTE for at in instants)
        side = 1 if record.side is Direction.LONG else -1
        found[number] = (symbol, day, entry, side, left, float(record.entry_price), float(record.exit_price))
    return found

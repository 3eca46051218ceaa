"""Self-checks of strategies and of safety modules, as a process of its own: settings on stdin, objections on stdout.

Only the build check starts it, since the supervisor imports no strategy.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.core.calendar import exchange_time, trading_days
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.runtime.bootstrap import risk_limits, session_spec
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.strategy.strategy_meta import Params
from tbot_bot.strategy.strategy_router import STRATEGIES
from tbot_bot.trading.safety import SAFETY_MODULES

SAFETY: Final = "safety "
"""What the names of safety modules begin with, among those of strategies."""
PLAN_DAYS: Final = 14
"""Calendar days looked through for a session by which a strategy's parameters can be checked."""


def strategy_objections(bot: BotSettings, today: date) -> Mapping[str, Sequence[str]]:
    """Ask each enabled strategy, with its parameters on the next day that has its session; without, where none has."""
    objections: dict[str, Sequence[str]] = {}
    for name in bot.strategies:
        try:
            objections[name.value] = STRATEGIES[name].self_check(_params_of(bot, name, today))
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is not fit to trade
            objections[name.value] = [f"its self-check raised {type(error).__name__}: {error}"]
    return objections


def safety_objections(bot: BotSettings) -> Mapping[str, Sequence[str]]:
    """Ask each module that keeps the bot from doing harm, under the owner's limits; names begin with `SAFETY`."""
    objections: dict[str, Sequence[str]] = {}
    for name, ask in SAFETY_MODULES.items():
        try:
            objections[SAFETY + name] = ask(risk_limits(bot))
        except Exception as error:  # noqa: BLE001 - whatever it raises, nothing may be traded behind it
            objections[SAFETY + name] = [f"its self-check raised {type(error).__name__}: {error}"]
    return objections


def _params_of(bot: BotSettings, name: StrategyName, today: date) -> Params | None:
    rules = schedule_rules(bot)
    for day in trading_days(today, today + timedelta(days=PLAN_DAYS)):
        for planned in plan_day(rules, day).due:
            if planned.strategy is name:
                return session_spec(
                    bot,
                    planned,
                    session=SessionId(day=day, strategy=name),
                    mode=Mode.PAPER,
                    bar_span=planned.windows.bar_span,
                    inverse=load_inverse_etf_map(),
                    settings_fingerprint="",
                ).params
    return None


def main() -> int:
    """Answer about the settings on stdin."""
    bot = BotSettings.model_validate(json.load(sys.stdin))
    strategies = strategy_objections(bot, exchange_time(wall_now()).date())
    json.dump({**strategies, **safety_objections(bot)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

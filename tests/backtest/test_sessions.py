"""What a backtest puts together once for all days is what each day would have been given by itself."""

from datetime import date
from types import SimpleNamespace

import pytest

from tbot_bot.assembly.schedule import plan_day
from tbot_bot.assembly.session_parts import session_spec
from tbot_bot.backtest.campaign import Sessions, setting_of
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.core.calendar import trading_day, trading_days
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import minutes

FIRST, LAST = date(2024, 10, 28), date(2025, 3, 14)
"""The clocks of New York go back and forth in between, and three days close early."""


@pytest.mark.parametrize("settings", [{}, {"DEFENSE_MODE_ACTIVE": "true"}, {"SESSION_ANCHOR": "utc"}])
def test_the_specification_of_each_session_is_the_one_made_for_it_alone(tmp_path, settings):
    setting = setting_of(
        BacktestRequest(home=tmp_path, data=tmp_path, first=FIRST, last=LAST, overrides=tuple(settings.items()))
    )
    sessions, seen = Sessions(setting), []
    for number, day in enumerate(trading_days(FIRST, LAST)):
        span = minutes(5 if number % 10 == 9 else 1)  # now and then a day of other bars
        for planned in plan_day(setting.rules, day).sessions:
            if planned.skipped:
                continue
            alone = session_spec(
                setting.settings.bot,
                planned,
                session=SessionId(day=day, strategy=planned.strategy),
                mode=Mode.BACKTEST,
                bar_span=span,
                inverse=setting.inverse,
                settings_fingerprint=setting.fingerprint,
                blocked=setting.blocked,
            )
            assert sessions.spec(SimpleNamespace(day=trading_day(day), span=span), planned) == alone
            seen.append(alone.windows.market_close - alone.windows.bell)
    assert len(seen) > 200
    assert len(set(seen)) == 2, "no early close among the days"

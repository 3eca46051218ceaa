"""What the supervisor notes of the floats at the end of a day."""

from datetime import date

import pytest
import structlog

from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode
from tbot_bot.journal.store import Journal
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.housekeeping import Housekeeping
from tests.support.float_home import DAY, furnish, read_accounts


@pytest.fixture
def noted(tmp_path):
    """Return what is told at the end of a day at which the accounts were read."""
    home = furnish(tmp_path / "home")
    records = records_for(home, Mode.PAPER, test_mode=True)

    async def note(day, **equities):
        if equities:
            read_accounts(home, day=DAY, **equities)
        told: list[str] = []
        settings = load_settings(home)
        log = structlog.testing.CapturingLogger()
        house = Housekeeping(bot=settings.bot, records=records, control=home / "control", log=log, tell=told.append)
        with Journal.open(records.journal, Mode.PAPER) as opened:
            await house.note_floats(settings, opened, day)
        return told

    return note


async def test_a_check_day_ends_with_the_plan(noted):
    (told,) = await noted(DAY, alpaca="150000", ibkr="50000")
    assert told.startswith("rebalance plan rp-20250904-")
    assert told.endswith("; alpaca sends 50,000.00 to ibkr")


async def test_a_check_day_on_which_all_is_well_says_so(noted):
    assert await noted(DAY, alpaca="101000", ibkr="99000") == ["every float is within tolerance; nothing to send"]


async def test_another_day_ends_without_a_word(noted):
    assert await noted(date(2025, 9, 5), alpaca="150000", ibkr="50000") == []


async def test_what_stands_in_the_way_is_told_and_ends_nothing(noted, tmp_path):
    assert await noted(DAY, alpaca="150000") == [
        "no rebalance plan: ibkr was never read; its first session's open will read it"
    ]
    (tmp_path / "home" / "float_accounts.csv").write_text("nonsense\n", encoding="ascii")
    (told,) = await noted(DAY)
    assert told.startswith("no rebalance plan: float_accounts.csv:1: expected the header")

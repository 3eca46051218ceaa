"""The day's mail, as its reader sees it: what the day came to, what to look at, what is missing and why."""

import sys
from decimal import Decimal

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.reporting import day_chart
from tbot_bot.reporting.daily_summary import summary_of
from tbot_bot.reporting.day_mail import DayLetter, mail_of_day
from tbot_bot.reporting.day_report import day_report_of
from tbot_bot.reporting.equity import EquityCurve
from tbot_bot.reporting.story import Stories
from tests.reporting.days import DAY, open_story, whole_day

CURVE = EquityCurve(
    today=((Instant(0), ZERO), (Instant(60_000_000_000), Decimal("12.5"))), days=((DAY, Decimal("12.5")),)
)


def mail(story, *, chart: bool = False, no_chart: str = "no chart: matplotlib is not installed") -> DayLetter:
    stories = Stories(Mode.PAPER)
    for own, item in story:
        stories.feed(own, item)
    return mail_of_day(day_report_of(stories, DAY), summary_of(stories, DAY), ("open Wed 03 Dec at 14:30 UTC",),
                       chart=chart, no_chart=no_chart, version="1.0.0")  # fmt: skip


def test_a_day_with_wins_losses_and_errors_says_what_it_came_to_and_what_to_look_at() -> None:
    told = mail(whole_day())

    assert told.subject.startswith("-8.75 USD, 4 trades, ")
    assert told.subject.endswith("to look at")
    for words in ("-8.75 USD", "Tuesday 2 December 2025, paper", "DEFENSE MODE", "To look at", "EEE", "-20.25", "AAA",
                  "Signal to order", "Slippage", "next sessions", "open Wed 03 Dec at 14:30 UTC"):  # fmt: skip
        assert words.lower() in told.text.lower(), told.text
        assert words.lower() in told.html.lower()
    assert told.text.lower().index("to look at") < told.text.lower().index("by symbol"), "the worst comes first"


def test_a_winning_day_is_told_with_its_sign() -> None:
    story = [(own, item) for own, item in open_story(pnl="99.00")]

    told = mail(story)
    assert told.subject.startswith("+99.00 USD, 1 trade")
    assert 'class="result up"' in told.html


def test_an_empty_day_is_a_short_mail_and_no_error() -> None:
    told = mail([])

    assert told.subject == "0.00 USD, 0 trades"
    for title in ("Trades", "By symbol", "Speed and cost", "To look at"):
        assert title not in told.html


def test_a_mail_without_a_chart_says_why_and_one_with_a_chart_shows_it() -> None:
    without, with_chart = mail(whole_day()), mail(whole_day(), chart=True, no_chart="")

    assert "matplotlib is not installed" in without.text
    assert "matplotlib is not installed" in without.html
    assert "<img" not in without.html
    assert 'src="cid:equity"' in with_chart.html


def test_where_matplotlib_is_missing_the_chart_is_words(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawing process itself, in an environment whose matplotlib cannot be imported."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no matplotlib')\n")
    monkeypatch.setenv("PYTHONPATH", ":".join([str(tmp_path), *filter(None, sys.path)]))
    picture, why_not = day_chart.draw(CURVE)

    assert picture == b""
    assert "matplotlib" in why_not
    assert why_not in mail(whole_day(), no_chart=why_not).text


def test_a_day_of_a_single_point_has_no_curve() -> None:
    assert day_chart.draw(EquityCurve(today=CURVE.today[:1], days=())) == (
        b"", "no chart: nothing was open, and there is no day before"
    )  # fmt: skip

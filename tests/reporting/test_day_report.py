"""The end report: everything that happened, at 100 columns, nothing cut off."""

import json

from tbot_bot.core.identity import Mode
from tbot_bot.reporting.day_report import to_json
from tbot_bot.reporting.day_view import plain_text
from tbot_bot.reporting.projector import Projector
from tbot_bot.reporting.report_router import records_for
from tests.reporting.days import DAY, whole_day


def report(tmp_path, story):
    projector = Projector(records_for(tmp_path, Mode.PAPER, test_mode=True))
    for own, item in story:
        projector.feed(own, item)
    return projector.day_report(DAY, took_seconds=41.3)


def test_the_report_tells_sessions_signals_trades_totals_and_files(tmp_path):
    text = plain_text(report(tmp_path, whole_day()))

    parts = "OPEN|MID|close: early close|+12.50|-20.25|-8.75|trailing_stop|max_trades|entry_expired|took 41.3 s"
    for part in (*parts.split("|"), "DDD: high 12.40 stayed 0.03 below the range", "defense mode"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_no_reason_is_cut_off(tmp_path):
    words = " ".join(plain_text(report(tmp_path, whole_day())).split())
    reason = "broke the opening range high 99.80 by 0.20 with volume 1.8 times the average"
    for word in reason.split():
        assert word in words
    assert "…" not in words


def test_a_day_without_anything_is_told_too(tmp_path):
    text = plain_text(report(tmp_path, []))
    assert "0 sessions, 0 trades, PnL 0.00" in text


def test_the_json_form_holds_the_same_facts(tmp_path):
    found = json.loads(to_json(report(tmp_path, whole_day())))
    assert (found["pnl"], len(found["trades"]), len(found["signals"])) == ("-8.75", 5, 5)

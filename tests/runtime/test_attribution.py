"""A day's trades against the simulator's: identical where it was the simulator, and to the cent where it was not."""

import json
import os
import subprocess
import sys
import time
from decimal import Decimal

import jsonschema
import pytest

from tbot_bot.config.error_handler import JournalError
from tbot_bot.config.settings import handed_over, load_settings
from tbot_bot.core.commands import TradeRecord
from tbot_bot.core.money import ZERO, to_cents
from tbot_bot.runtime.attribution_desk import attribute_day
from tbot_bot.runtime.reconciliation_job import MODULE
from tests.support.crafted_day import DAY as FLOOR_DAY
from tests.support.judged_files import SCHEMAS
from tests.support.rehearsal import DAY, rehearse
from tests.support.terminal import CLI, REPOSITORY
from tests.support.trading_floor import Floor, agrees


def told(path):
    data = json.loads(path.read_text())
    jsonschema.validate(data, json.loads((SCHEMAS / "attribution.schema.json").read_text()))
    return data


@pytest.mark.parametrize("seed", [1, 3, 5, 8])
def test_a_session_at_the_simulator_is_simulated_exactly(tmp_path, seed):
    run = rehearse(tmp_path, seed)
    found = attribute_day(run.paths, DAY)
    booked = {one.trade_id: one.pnl for one in run.outputs(TradeRecord) if one.entered_at is not None}
    assert booked
    assert {one.trade_id: to_cents(one.pnl) for one in found.trades if one.entry.quantity} == booked
    for one in found.trades:
        assert (one.entry, one.exit) == (one.simulated_entry, one.simulated_exit)
        assert (one.difference, one.slippage, one.missed_fills, one.fees) == (ZERO, ZERO, ZERO, ZERO)
    assert not all(one.beyond_tape for one in found.trades), "else nothing would have been simulated"
    assert found.total.difference == found.total.missed == 0
    assert told(run.paths.attribution(DAY))["total"]["trades"] == len(found.trades)


def test_a_put_is_named_as_not_compared(tmp_path):
    run = rehearse(tmp_path, 3, SHORT_TYPE_OPEN="LongPut", SHORT_TYPE_MID="LongPut", SHORT_TYPE_CLOSE="LongPut")
    found = attribute_day(run.paths, DAY)
    assert found.not_compared
    assert all("puts" in one.why for one in found.not_compared)


def test_a_day_without_a_journal_is_refused_and_leaves_no_file(tmp_path):
    run = rehearse(tmp_path, 1)
    run.paths.journal.unlink()
    with pytest.raises(JournalError):
        attribute_day(run.paths, DAY)
    assert not run.paths.attribution(DAY).exists()


def job(home):
    words = [sys.executable, "-m", MODULE, "--home", str(home), "--mode", "paper", "--day", DAY.isoformat()]
    return subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_job_after_the_close_writes_it_also_after_a_failed_comparison_and_killed_leaves_no_half(tmp_path):
    run = rehearse(tmp_path, 1)  # a dry run keeps no account, so that the reconciliation fails
    settings = handed_over(load_settings(run.home, {}, defaults_if_absent=True))
    path = run.paths.attribution(DAY)
    for delay in (0.5, 1.0):
        with job(run.home) as process:
            assert process.stdin is not None
            process.stdin.write(settings)
            process.stdin.close()
            time.sleep(delay)
            process.kill()
        assert not path.exists() or told(path)
    process = job(run.home)
    output, _ = process.communicate(settings, timeout=60)
    assert process.returncode == 1
    assert b"was not kept" in output
    assert told(path)["total"]["difference"] == "0"


@pytest.mark.slow  # its short form: the simulated sessions, above
def test_a_session_at_alpaca_parts_from_the_simulator_by_what_is_listed(tmp_path):
    floor = Floor(tmp_path, speed=60)
    try:
        floor.start()
        assert floor.end() == 0
        trade = agrees(floor)
        env = {**os.environ, "TBOT_HOME": str(tmp_path)}
        words = [sys.executable, "-c", CLI, "reconcile", FLOOR_DAY.isoformat()]
        shown = subprocess.run(words, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    finally:
        floor.close()
    assert "against the simulator" in shown.stdout
    found = told(tmp_path / "output" / "summaries" / f"attribution_paper_{FLOOR_DAY.isoformat()}.json")
    (one,) = found["trades"]
    assert to_cents(Decimal(one["pnl"])) == Decimal(trade["PnL"])
    assert Decimal(one["simulated_entry"]["quantity"]) > 0
    parts = sum(Decimal(one[name]) for name in ("slippage", "missed_fills", "fees"))
    assert Decimal(one["difference"]) == parts == Decimal(one["pnl"]) - Decimal(one["simulated_pnl"])
    assert one["entry"]["at"] != one["simulated_entry"]["at"]
    assert found["brokers"][0]["broker"] == "alpaca"

"""Where files go, and that test mode reaches no live one."""

import copy
import pickle
from dataclasses import replace

import pytest

from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.reporting.projector import Projector
from tbot_bot.reporting.report_router import LiveRecords, LiveRecordsRefused, OutputPaths, records_for
from tests.reporting.days import session, spec


@pytest.mark.parametrize(
    ("mode", "test_mode", "force", "variant"),
    [
        (Mode.PAPER, True, False, "paper"),
        (Mode.PAPER, False, False, "paper"),
        (Mode.LIVE, True, False, "paper"),
        (Mode.LIVE, True, True, "paper"),
        (Mode.LIVE, False, True, "paper"),
        (Mode.LIVE, False, False, "live"),
        (Mode.BACKTEST, False, False, "backtest"),
        (Mode.BACKTEST, True, True, "backtest"),
    ],
)
def test_the_mode_chooses_the_variant_of_every_name(tmp_path, mode, test_mode, force, variant):
    records = records_for(tmp_path, mode, test_mode=test_mode, force_paper_export=force)
    output = tmp_path / "output"

    assert records.session_log(StrategyName.MID) == output / "logs" / f"mid_{variant}.log"
    assert records.trade_history_csv == output / "trades" / f"trade_history_{variant}.csv"
    assert records.trade_history_json == output / "trades" / f"trade_history_{variant}.json"
    assert records.daily_summary == output / "summaries" / f"daily_summary_{variant}.json"
    assert records.unresolved_log == output / "logs" / f"unresolved_orders_{variant}.log"
    assert records.disaster_log == output / "logs" / f"disaster_{variant}.log"
    assert records.journal == output / "journal" / f"tbot_{variant}.sqlite3"
    assert records.process_logs == tmp_path / "logs" / "bot" / variant
    assert (records.status, records.shutdown_flag) == (output / "status_bot.json", output / "shutdown_flag.json")


@pytest.mark.parametrize(
    ("test_mode", "force"), [(True, False), (False, True), (True, True), (1, False), (None, False)]
)
def test_no_permission_for_live_records_can_be_made_in_test_mode(test_mode, force):
    with pytest.raises(LiveRecordsRefused):
        LiveRecords(mode=Mode.LIVE, test_mode=test_mode, force_paper_export=force)


def test_no_permission_can_be_turned_into_one_for_test_mode(tmp_path):
    live = records_for(tmp_path, Mode.LIVE, test_mode=False)
    permission = live.permission
    assert permission is not None
    with pytest.raises(LiveRecordsRefused):
        replace(permission, test_mode=True)  # type: ignore[arg-type]  # the type checker refuses it first
    forged = copy.copy(permission)
    object.__setattr__(forged, "test_mode", True)
    with pytest.raises(LiveRecordsRefused):
        replace(live, permission=forged)
    with pytest.raises(LiveRecordsRefused):
        _ = pickle.loads(pickle.dumps(forged)).hold()  # noqa: S301 - our own bytes


def test_no_live_path_can_be_named_without_permission(tmp_path):
    paper = records_for(tmp_path, Mode.LIVE, test_mode=True)
    with pytest.raises(LiveRecordsRefused):
        OutputPaths(home=tmp_path, mode=Mode.LIVE)
    with pytest.raises(LiveRecordsRefused):
        replace(paper, mode=Mode.LIVE)
    for mode in (Mode.LIVE, "live"):
        forged = copy.copy(paper)
        object.__setattr__(forged, "mode", mode)
        for name in ("trade_history_csv", "trade_history_json", "daily_summary", "unresolved_log", "disaster_log",
                     "journal", "process_logs"):  # fmt: skip
            with pytest.raises(LiveRecordsRefused):
                getattr(forged, name)
        with pytest.raises(LiveRecordsRefused):
            forged.session_log(StrategyName.OPEN)
        with pytest.raises(LiveRecordsRefused):
            forged.tape(session())


def test_a_session_in_test_mode_cannot_be_told_into_live_files(tmp_path):
    projector = Projector(records_for(tmp_path, Mode.LIVE, test_mode=False))

    with pytest.raises(LiveRecordsRefused):
        projector.feed(session(), spec())
    assert list(tmp_path.rglob("*")) == []

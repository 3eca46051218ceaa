"""What a backtest leaves: one whole folder or none, records in the shape of every mode, and a way to do it again."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import tbot_bot.reporting
from tbot_bot.backtest.result_files import keep, sweep
from tbot_bot.config.error_handler import DataError, MachineError
from tbot_bot.reporting.report_router import BacktestPaths
from tbot_bot.reporting.trade_logger import COLUMNS
from tests.support.rehearsal import DAY, SENSITIVE, Rehearsed, random_walks, write_csv

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SCHEMAS = Path(tbot_bot.reporting.__file__).parent / "schemas"
SETTINGS = [word for name, value in SENSITIVE.items() for word in ("--set", f"{name}={value}")]
NAMES = {
    "equity_curve.csv", "daily_summary_backtest.json", "manifest.json", "metrics.json", "report.html",
    "trade_history_backtest.csv", "trade_history_backtest.json",
}  # fmt: skip


def tbot(home, *words, program=("-m", "tbot_bot.runtime.cli")):
    return subprocess.run(
        [sys.executable, *program, *map(str, words)], cwd=home, capture_output=True, text=True, timeout=120,
        check=False, env=environment(home),
    )  # fmt: skip


def environment(home):
    return {**os.environ, "TBOT_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}


def backtest(home, data, *words, day=DAY):
    days = ("--start", day.isoformat(), "--end", day.isoformat())
    return tbot(home, "backtest", "run", *days, "--data", data, "--engine", "event", *SETTINGS, *words)


def tree(folder):
    """Return path -> digest of every file below `folder`, folders too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Return a home with a dry run of a day, and a backtest of the same day beside it."""
    home = tmp_path_factory.mktemp("home")
    data = write_csv(home / "bars.csv", random_walks(1))
    Rehearsed(home, data, DAY, **SENSITIVE)
    before = tree(home)
    ended = backtest(home, data, "--out", home / "run")
    assert ended.returncode == 0, ended.stderr
    return home, data, before


def test_the_folder_holds_what_is_promised(traded):
    home, _, _ = traded
    assert {path.name for path in (home / "run").iterdir()} == NAMES


def test_nothing_else_is_touched(traded):
    """No journal, ledger, record or log of another mode changes by a byte, and none appears."""
    home, _, before = traded
    after = tree(home)
    assert any(name.endswith("trade_history_paper.csv") for name in before)
    assert {name: after.get(name) for name in before} == before
    new = after.keys() - before.keys()
    assert {name.split("/")[0] for name in new if not name.startswith("output/backtests")} == {"run"}
    assert {name for name in new if name.startswith("output/backtests/") and "/cache" not in name} == set()


def test_the_trade_history_is_that_of_the_dry_run_but_for_its_mode(traded):
    home, _, _ = traded
    ours = (home / "run" / "trade_history_backtest.csv").read_text()
    theirs = (home / "output" / "trades" / "trade_history_paper.csv").read_text()
    assert ours.replace(",backtest,", ",paper,") == theirs
    rows = list(csv.DictReader(ours.splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert any(row["entry_price"] for row in rows)


def test_the_daily_summary_has_the_money_of_the_dry_run(traded):
    home, _, _ = traded
    ours = json.loads((home / "run" / "daily_summary_backtest.json").read_text())[DAY.isoformat()]
    theirs = json.loads((home / "output" / "summaries" / "daily_summary_paper.json").read_text())[DAY.isoformat()]
    same = (
        "wins",
        "losses",
        "flats",
        "pnl",
        "fees",
        "slippage",
        "by_strategy",
        "by_symbol",
        "by_broker",
        "best_symbol",
    )
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    counted = ("candidates", "signaled", "entered", "exited", "rejected")
    assert {name: ours["counts"][name] for name in counted} == {name: theirs["counts"][name] for name in counted}


@pytest.mark.parametrize("name", ["trade_history", "daily_summary"])
def test_records_satisfy_their_published_schemas(traded, name):
    home, _, _ = traded
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads((home / "run" / f"{name}_backtest.json").read_text()))


def test_the_curve_ends_where_the_trades_lead(traded):
    home, _, _ = traded
    rows = list(csv.DictReader((home / "run" / "trade_history_backtest.csv").read_text().splitlines()))
    curve = list(csv.DictReader((home / "run" / "equity_curve.csv").read_text().splitlines()))
    metrics = json.loads((home / "run" / "metrics.json").read_text())
    won = sum(round(float(row["PnL"]) * 100) for row in rows)
    assert round(float(curve[-1]["result"]) * 100) == won
    assert round(metrics["performance"]["trades"]["pnl"] * 100) == won
    assert float(curve[-1]["equity"]) == float(curve[-1]["equity_alpaca"])


def test_a_repetition_leaves_the_same_bytes(traded, tmp_path):
    home, data, _ = traded
    assert backtest(home, data, "--out", tmp_path / "again").returncode == 0
    assert tree(tmp_path / "again") == tree(home / "run")
    ended = tbot(home, "backtest", "report", "--repeat", home / "run", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"run": "run", "same": True, "differing": [], "changed": []}


def test_a_repetition_has_the_settings_of_then_whatever_they_are_now(traded, tmp_path):
    _, data, _ = traded
    own = tmp_path / "own"
    own.mkdir()
    (own / ".env_bot").write_text("MAX_TRADES=1\nWEIGHTS=1\n")
    assert backtest(own, data, "--out", own / "run").returncode == 0
    (own / ".env_bot").write_text("MAX_TRADES=2\nWEIGHTS=0.5,0.5\n")
    ended = tbot(own, "backtest", "report", "--repeat", own / "run")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the same bytes" in ended.stdout


def test_a_data_file_that_changed_is_named(tmp_path):
    days = random_walks(1)
    data = write_csv(tmp_path / "bars.csv", days)
    assert backtest(tmp_path, data, "--out", tmp_path / "run").returncode == 0
    minute, *prices, volume = days["S01"][200]
    days["S01"][200] = (minute, *prices, volume + 1)
    write_csv(data, days)
    ended = tbot(tmp_path, "backtest", "report", "--repeat", tmp_path / "run")
    assert "since then: data file bars.csv has changed" in ended.stdout
    data.unlink()
    ended = tbot(tmp_path, "backtest", "report", "--repeat", tmp_path / "run")
    assert ended.returncode == 1
    assert "bars.csv" in ended.stderr


def test_code_that_changed_is_named_and_so_is_what_differs(traded, tmp_path):
    home, data, _ = traded
    assert backtest(home, data, "--out", tmp_path / "run").returncode == 0
    manifest = tmp_path / "run" / "manifest.json"
    told = json.loads(manifest.read_text())
    room = next(one for one in told["code"] if one["name"] == "tbot_bot/trading")
    file = next(one for one in told["files"] if one["name"] == "equity_curve.csv")
    room["sha256"] = file["sha256"] = "0" * 64
    manifest.write_text(json.dumps(told))
    ended = tbot(home, "backtest", "report", "--repeat", tmp_path / "run", "--json")
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert found["differing"] == ["equity_curve.csv"]
    assert found["changed"] == ["code tbot_bot/trading has changed"]


def test_the_build_documents_own_words_do_the_same(traded, tmp_path):
    home, data, _ = traded
    script = REPOSITORY / "tbot_bot" / "backtest" / "backtest_engine.py"
    words = ("--strategy=open", f"--start={DAY}", f"--end={DAY}", f"--data_source={data}", "--engine=event")
    ended = tbot(home, *words, *SETTINGS, f"--out={tmp_path / 'run'}", program=(str(script),))
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader((tmp_path / "run" / "trade_history_backtest.csv").read_text().splitlines()))
    assert {row["strategy_name"] for row in rows} == {"open"}
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["strategies"] == ["open"]


def test_runs_are_kept_one_beside_the_other_and_found_again(tmp_path):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=2))
    assert tbot(tmp_path, "backtest", "report").returncode == 1
    for _ in range(2):
        assert backtest(tmp_path, data).returncode == 0
    listed = tbot(tmp_path, "backtest", "report", "--list", "--json")
    names = [one["run"] for one in json.loads(listed.stdout)]
    assert len(set(names)) == 2
    latest = json.loads(tbot(tmp_path, "backtest", "report", "--json").stdout)
    assert latest["run"] == names[-1]
    started = datetime.strptime(names[0].partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - started).total_seconds()) < 600
    assert f"no run is called '{'x' * 3}'" in tbot(tmp_path, "backtest", "report", "xxx").stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--start", "2025-12-03", "--end", "2025-12-02"), 2, "the earlier day comes first"),
        (("--start", "2025-12-2", "--end", "2025-12-02"), 2, "is not a day"),
        (("--start", "2024-12-02", "--end", "2024-12-02"), 1, "no trading day with data"),
        (("--start", "2025-12-02", "--end", "2025-12-02", "--engine", "fast"), 2, "is no engine"),
        (("--start", "2025-12-02", "--end", "2025-12-02", "--set", "MAX_TRADES=none"), 2, "MAX_TRADES"),
        (("--start", "2025-12-02", "--end", "2025-12-02", "--out", "taken"), 1, "not empty"),
    ],
)
def test_what_cannot_be_run_leaves_nothing(tmp_path, words, status, said):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=1))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    ended = tbot(tmp_path, "backtest", "run", "--data", data, "--no-cache", "--engine", "event", *words)
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr
    assert tree(tmp_path).keys() == {"bars.csv", "taken", "taken/mine.txt"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_folder(tmp_path, how):
    data = write_csv(tmp_path / "bars.csv", random_walks(1))
    words = ["--start", str(DAY), "--end", str(DAY), "--data", str(data), "--engine", "event", *SETTINGS]
    slow = (  # stands still while it writes the third file
        "import sys, os, time, tbot_bot.backtest.result_files as r\n"
        "real, seen = os.fsync, []\n"
        "def fsync(handle):\n"
        "    real(handle); seen.append(handle)\n"
        "    if len(seen) == 3: print('writing', flush=True); time.sleep(60)\n"
        "r.os.fsync = fsync\n"
        "from tbot_bot.runtime.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, "backtest", "run", *words, "--no-cache"], cwd=tmp_path,
        env=environment(tmp_path), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "writing"
        time.sleep(0.1)
        process.send_signal(how)
        process.wait(30)
    runs = tmp_path / "output" / "backtests"
    assert [path for path in runs.iterdir() if not path.name.startswith(".")] == []
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert list(runs.iterdir()) == []
        return
    assert len(list(runs.iterdir())) == 1  # its draft; the next run takes it away
    assert backtest(tmp_path, data, "--no-cache").returncode == 0
    assert [path.name[0] for path in runs.iterdir()] == ["2"]


def test_a_draft_of_a_living_run_is_left_alone(tmp_path):
    own = tmp_path / f".a.{os.getpid()}.draft"
    own.mkdir()
    sweep(tmp_path)
    assert own.is_dir()


def test_files_are_kept_all_or_none(tmp_path):
    keep({"a": b"1", "b": b"2"}, tmp_path / "run")
    assert tree(tmp_path / "run").keys() == {"a", "b"}
    with pytest.raises(MachineError, match="not empty"):
        keep({"c": b"3"}, tmp_path / "run")
    with pytest.raises(OSError, match="directory"):
        keep({"a": b"1", "no/such": b"2"}, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_damaged_manifest_is_refused_in_words(tmp_path):
    from tbot_bot.backtest.run_manifest import read_manifest  # noqa: PLC0415 - beside its one use

    path = BacktestPaths(folder=tmp_path).manifest
    path.write_text("{")
    with pytest.raises(DataError, match="not a manifest"):
        read_manifest(path)

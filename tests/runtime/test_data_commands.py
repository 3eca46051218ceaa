"""`tbot data`: sets made, fetched from stand-ins of the vendors, and checked, as a user does it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tbot_bot.backtest.data_set import manifest_of
from tbot_bot.core.calendar import exchange_time, is_trading_day, previous_trading_day, trading_day
from tbot_bot.core.instants import MINUTE, SECOND, Instant, iso, minutes, parse_iso
from tbot_bot.runtime.cli import main
from tbot_bot.runtime.cli_sandbox import settings_for
from tbot_bot.runtime.clock import wall_now
from tests.support.sandbox import DAY, SOURCE, SandboxThread, until

CLI = "import sys; from tbot_bot.runtime.cli import main; sys.exit(main())"
REPOSITORY = Path(__file__).resolve().parent.parent.parent
HEAD = "timestamp,symbol,open,high,low,close,volume"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))
    return tmp_path


def write_env(home: Path, values: Mapping[str, str]) -> None:
    for name, template, given in ((".env", ".env.example", values), (".env_bot", ".env_bot.template-test", {})):
        lines = (REPOSITORY / template).read_text(encoding="utf-8").splitlines()
        names = [line.partition("=")[0] for line in lines]
        text = [f"{name}={given[name]}" if name in given else line for name, line in zip(names, lines, strict=True)]
        (home / name).write_text("\n".join(text) + "\n", encoding="utf-8")
        (home / name).chmod(0o600)


def session_csv(path: Path, day: date, symbol: str = "AAA") -> Path:
    hours = trading_day(day)
    rows = [f"{iso(Instant(at))},{symbol},10,10.1,9.9,10,100" for at in range(hours.open_at, hours.close_at, MINUTE)]
    path.write_text("\n".join([HEAD, *rows, ""]))
    return path


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# --- import, check, list ---------------------------------------------------------------------------------------------


def test_a_set_is_made_checked_and_listed(home: Path, capsys: pytest.CaptureFixture[str]):
    bars = session_csv(home / "bars.csv", date(2024, 7, 3))
    into = home / "data" / "mine"
    assert main(["data", "import", str(bars), "--into", str(into), "--survivorship", "today's names", "--json"]) == 0
    made = told(capsys)
    assert made["manifest"]["bars"] == 210
    assert made["check"]["verdict"] == "fine"
    assert main(["data", "check", str(into)]) == 0
    assert "210 bars, 1 symbols, 1 sessions\nNothing wrong was found." in capsys.readouterr().out
    assert main(["data", "list", str(home / "data"), "--json"]) == 0
    [one] = told(capsys)
    assert one["path"] == str(into)
    assert one["survivorship"] == "today's names"


def test_faults_are_named_and_status_1_tells_scripts(home: Path, capsys: pytest.CaptureFixture[str]):
    (home / "bad.csv").write_text(f"{HEAD}\n2024-07-03T13:30:00Z,AAA,10,9,9.5,10,1\n")
    assert main(["data", "import", str(home / "bad.csv"), "--into", str(home / "set")]) == 1
    assert f"{home}/bad.csv:2: high 9 is below low 9.5" in capsys.readouterr().err
    assert main(["data", "import", str(home / "bad.csv"), "--into", str(home / "set"), "--json"]) == 1
    assert told(capsys)["rows"] == [{"file": f"{home}/bad.csv", "line": 2, "what": "high 9 is below low 9.5"}]
    assert not (home / "set").exists()


def test_a_check_that_fails_says_what_a_backtest_does_about_it(home: Path, capsys: pytest.CaptureFixture[str]):
    bars = session_csv(home / "bars.csv", date(2024, 7, 3))
    lines = bars.read_text().splitlines()
    bars.write_text("\n".join([*lines[:50], *lines[150:], ""]))
    assert main(["data", "check", str(bars)]) == 1
    out = capsys.readouterr().out
    assert "100 (47.62%)" in out
    assert "--accept-data" in out
    assert main(["data", "check", str(bars), "--json"]) == 1
    assert told(capsys)["verdict"] == "refused"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["import", "x.csv", "--into", "y", "--layout", "lean"], "none of auto, alphavantage"),
        (["import", "x.csv", "--into", "y", "--zone", "Mars"], "no time zone"),
        (["import", "x.csv", "--into", "y", "--actions", "z.csv"], "needs --adjust"),
        (["fetch", "--from", "bloomberg", "--start", "2024-07-02", "--end", "2024-07-03", "--into", "y"], "none of"),
        (["fetch", "--from", "yahoo", "--start", "2024-07-03", "--end", "2024-07-02", "--into", "y"], "is before"),
    ],
)
def test_words_that_make_no_sense_are_told_with_status_2(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], what: str
):
    assert main(["data", *words]) == 2
    assert what in capsys.readouterr().err


# --- Alpaca and Interactive Brokers: the sandbox ---------------------------------------------------------------------


@pytest.fixture
def sandbox(home: Path) -> Iterator[SandboxThread]:
    made = SandboxThread("alpaca", "finnhub", "tws", begin=minutes(400))
    until(lambda: made.sandbox.ports["tws"], "the gateway's port")
    write_env(home, settings_for(made.sandbox.ports))
    yield made
    made.close()


def fetching(home: Path, source: str, *symbols: str) -> list[str]:
    day = DAY.isoformat()
    return ["data", "fetch", "--from", source, "--symbols", ",".join(symbols), "--start", day, "--end", day,
            "--into", str(home / "set"), "--json"]  # fmt: skip


def expected(symbol: str) -> list[tuple[int, float, float, float, float]]:
    bars = SOURCE.bars_until(symbol, trading_day(DAY).close_at)
    return [(bar.start, bar.open, bar.high, bar.low, bar.close) for bar in bars]


def found(home: Path, symbol: str) -> list[tuple[int, float, float, float, float]]:
    rows = pq.read_table(home / "set" / "bars.parquet").to_pylist()
    return [
        (parse_iso(row["ts"].isoformat()), row["open"], row["high"], row["low"], row["close"])
        for row in rows
        if row["symbol"] == symbol
    ]


@pytest.mark.parametrize("source", ["alpaca", "ibkr"])
def test_a_day_of_the_sandbox_is_fetched_whole(
    home: Path, sandbox: SandboxThread, capsys: pytest.CaptureFixture[str], source: str
):
    assert main(fetching(home, source, "SYN01", "SYN02", "NOSUCH")) == 0
    report = told(capsys)
    for symbol in ("SYN01", "SYN02"):
        assert found(home, symbol) == expected(symbol)
    assert report["manifest"]["adjustment"] == "split"
    assert report["check"]["verdict"] in {"fine", "noted"}
    assert [*report["refused"], *report["empty"]] == ["NOSUCH"]
    assert not (home / ".set.fetch").exists()


def test_keys_that_are_missing_or_refused_end_with_their_own_statuses(
    home: Path, sandbox: SandboxThread, capsys: pytest.CaptureFixture[str]
):
    write_env(home, settings_for(sandbox.sandbox.ports) | {"ALPACA_PAPER_API_KEY": ""})
    assert main(fetching(home, "alpaca", "SYN01")) == 2
    assert "ALPACA_PAPER_API_KEY" in capsys.readouterr().err
    write_env(home, settings_for(sandbox.sandbox.ports) | {"IBKR_PAPER_PORT": "1"})
    assert main(fetching(home, "ibkr", "SYN01")) == 1
    assert "Is it running and logged in" in capsys.readouterr().err


# --- Yahoo: a stand-in in its own form -------------------------------------------------------------------------------


def recent_days(count: int) -> list[date]:
    day = exchange_time(wall_now()).date()
    days: list[date] = []
    while len(days) < count:
        day = previous_trading_day(day)
        days.insert(0, day)
    return days


class Yahoo:
    """Answers charts as Yahoo does: nulls for silent minutes, 404 for what it does not know, 429 now and then."""

    def __init__(self, server: HTTPServer) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.busy = 0
        self.delay = 0.0
        server.expect_request("/v8/finance/chart/GONE").respond_with_json(
            {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}, status=404
        )
        for name in ("AAA", "BRK-B"):
            server.expect_request(f"/v8/finance/chart/{name}").respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        name = request.path.rpartition("/")[2]
        first, last = int(request.args["period1"]), int(request.args["period2"])
        assert (last - first) <= 7 * 86_400, "Yahoo gives seven days a request"
        assert request.args["interval"] == "1m"
        if self.busy:
            self.busy -= 1
            return Response("Too Many Requests", status=429, headers={"Retry-After": "0"})
        self.asked.append((name, first, last))
        time.sleep(self.delay)
        day, times = exchange_time(Instant(first * SECOND)).date(), list[int]()
        while day <= exchange_time(Instant(last * SECOND)).date():
            if is_trading_day(day):
                hours = trading_day(day)
                times += [at // SECOND for at in range(hours.open_at, hours.close_at, MINUTE)]
            day += timedelta(days=1)
        price = [None if at % 3600 == 0 else 190.0449981689453 for at in times]
        quote = {"open": price, "high": price, "low": price, "close": price,
                 "volume": [None if one is None else 100 for one in price]}  # fmt: skip
        result = {"meta": {"symbol": name}, "timestamp": times, "indicators": {"quote": [quote]}}
        return Response(json.dumps({"chart": {"result": [result], "error": None}}), content_type="application/json")


@pytest.fixture
def yahoo(home: Path, httpserver: HTTPServer) -> Yahoo:
    write_env(home, {"YAHOO_URL": httpserver.url_for("").rstrip("/")})
    return Yahoo(httpserver)


def yahoo_words(home: Path, symbols: str, days: list[date]) -> list[str]:
    return ["data", "fetch", "--from", "yahoo", "--symbols", symbols, "--start", days[0].isoformat(),
            "--end", days[-1].isoformat(), "--into", str(home / "set"), "--json"]  # fmt: skip


def test_yahoo_is_asked_by_the_week_and_silent_minutes_are_no_bars(
    home: Path, yahoo: Yahoo, capsys: pytest.CaptureFixture[str]
):
    days = recent_days(10)
    yahoo.busy = 1
    assert main(yahoo_words(home, "AAA,BRK.B,GONE", days)) == 0
    report = told(capsys)
    rows = pq.read_table(home / "set" / "bars.parquet").to_pylist()
    assert {row["symbol"] for row in rows} == {"AAA", "BRK.B"}
    hours = [trading_day(day) for day in days]
    silent = sum(1 for one in hours for at in range(one.open_at, one.close_at, MINUTE) if at % (3600 * SECOND) == 0)
    minutes_open = sum((one.close_at - one.open_at) // MINUTE for one in hours)
    assert len(rows) == 2 * (minutes_open - silent)
    assert {row["open"] for row in rows} == {190.045}
    assert report["manifest"]["adjustment"] == "split"
    assert list(report["refused"]) == ["GONE"]


def test_days_that_yahoo_has_no_more_are_refused_with_the_first_it_has(
    home: Path, yahoo: Yahoo, capsys: pytest.CaptureFixture[str]
):
    days = recent_days(30)
    assert main(yahoo_words(home, "AAA", days)) == 1
    err = capsys.readouterr().err
    assert "last 30 days only" in err
    assert (exchange_time(wall_now()).date() - timedelta(days=29)).isoformat() in err
    assert main([*yahoo_words(home, "AAA", days[-1:]), "--adjust", "none"]) == 2
    assert "for splits, always" in capsys.readouterr().err
    assert yahoo.asked == []


def test_a_killed_fetch_goes_on_where_it_ended(home: Path, yahoo: Yahoo, capsys: pytest.CaptureFixture[str]):
    days, words = recent_days(10), yahoo_words(home, "AAA,BRK.B", recent_days(10))
    yahoo.delay = 0.3
    child = subprocess.Popen([sys.executable, "-c", CLI, *words], env=os.environ | {"TBOT_HOME": str(home)})
    until(lambda: list((home / ".set.fetch").glob("*.npz")), "the first piece")
    os.kill(child.pid, signal.SIGKILL)
    child.wait(30)
    assert not (home / "set").exists()
    come = len(list((home / ".set.fetch").glob("*.npz")))
    yahoo.asked.clear()
    yahoo.delay = 0.0
    assert main([*words[:5], "AAA", *words[6:]]) == 1
    assert "--restart" in capsys.readouterr().err
    assert main(words) == 0
    report = told(capsys)
    assert report["kept"] == come
    assert len(yahoo.asked) == report["pieces"] - come
    manifest = manifest_of(home / "set")
    assert manifest is not None
    assert manifest.bars == report["manifest"]["bars"]
    whole = pq.read_table(home / "set" / "bars.parquet")
    assert main([*words, "--replace"]) == 0
    assert pq.read_table(home / "set" / "bars.parquet").equals(whole)
    assert len(days) == 10


def test_a_day_that_is_not_over_is_not_fetched(home: Path, yahoo: Yahoo, capsys: pytest.CaptureFixture[str]):
    tomorrow = exchange_time(wall_now()).date() + timedelta(days=1)
    assert main(yahoo_words(home, "AAA", [tomorrow, tomorrow + timedelta(days=3)])) == 2
    assert "at least one trading day that is over" in capsys.readouterr().err
    assert yahoo.asked == []


# --- what a backtest does with data that fail ------------------------------------------------------------------------


def test_a_backtest_refuses_data_that_fail_and_runs_on_them_when_told_to(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    bars = session_csv(home / "bars.csv", date(2024, 7, 3))
    lines = bars.read_text().splitlines()
    bars.write_text("\n".join([*lines[:50], *lines[150:], ""]))
    assert main(["data", "import", str(bars), "--into", str(home / "set"), "--source", "a vendor"]) == 0
    capsys.readouterr()
    words = ["backtest", "run", "--start", "2024-07-03", "--end", "2024-07-03", "--data", str(home / "set"),
             "--out", str(home / "run"), "--engine", "event"]  # fmt: skip
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "holes: 100 of 210 (47.62%)" in err
    assert "--accept-data" in err
    assert not (home / "run").exists()
    assert main([*words, "--accept-data"]) == 0
    assert "accepted by --accept-data: holes: 100" in capsys.readouterr().err
    page = (home / "run" / "report.html").read_text(encoding="utf-8")
    assert "Source: a vendor." in page
    assert "Survivorship: not stated" in page
    assert "Refused without --accept-data: holes: 100" in page
    assert main(["backtest", "report", "--repeat", str(home / "run")]) == 0

"""`tbot screen --live` and `tbot fundamentals` as a person types them, and the supervisor's nightly refresh."""

import asyncio
import json
import subprocess
import time
from types import SimpleNamespace

import pytest
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode
from tbot_bot.core.screening import Outcome
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime import fundamentals_job
from tbot_bot.runtime.cli import main
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.housekeeping import Housekeeping
from tbot_bot.runtime.live_sources import open_cache
from tbot_bot.runtime.locks import Lock
from tests.support.sandbox import SandboxThread
from tests.support.vendor_stand_in import KEY, VendorStandIn, asset, figures, profile

REAL_MONEY_RULES = ("--set", "TEST_MODE=false", "--set", "TOTAL_CAPITAL=1000000")


@pytest.fixture(scope="module")
def sandbox():
    made = SandboxThread("alpaca", "finnhub")
    yield made
    made.close()


@pytest.fixture
def tbot(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))

    def run(*words):
        capsys.readouterr()
        status = main(list(words))
        told = capsys.readouterr()
        return SimpleNamespace(status=status, out=told.out, err=told.err)

    return run


def write_env(home, *, alpaca="", finnhub="", key="changeme"):
    lines = []
    if alpaca:
        lines += [f"ALPACA_PAPER_API_KEY={key}", f"ALPACA_PAPER_SECRET_KEY={key}", f"ALPACA_PAPER_URL={alpaca}"]
        lines += [f"ALPACA_DATA_URL={alpaca}"]
    if finnhub:
        lines += [f"FINNHUB_API_KEY={key}", f"FINNHUB_URL={finnhub}"]
    (home / ".env").write_text("\n".join([*lines, ""]), encoding="ascii")
    (home / ".env").chmod(0o600)


def by_symbol(told, session=0):
    return {verdict["symbol"]: verdict for verdict in json.loads(told.out)["sessions"][session]["verdicts"]}


def test_without_any_key_it_says_which_and_ends_with_2(tbot):
    told = tbot("screen", "--live")
    assert told.status == 2
    assert "ALPACA_PAPER_API_KEY" in told.err
    assert "FINNHUB_API_KEY" in told.err
    told = tbot("fundamentals", "refresh")
    assert (told.status, "FINNHUB_API_KEY" in told.err) == (2, True)


@pytest.mark.parametrize("words", [("screen", "--live"), ("fundamentals", "refresh")])
def test_refused_keys_end_with_6_and_are_shown_nowhere(tbot, tmp_path, sandbox, words):
    write_env(
        tmp_path, alpaca=sandbox.url("alpaca"), finnhub=f"{sandbox.url('finnhub')}/api/v1", key="changeme-wrong-0815"
    )
    told = tbot(*words)
    assert told.status == 6
    assert "the key is refused" in told.err
    assert told.err.count("\n") == 1
    files = [path.read_bytes() for path in (tmp_path / "output").rglob("*") if path.is_file()]
    assert "0815" not in told.err + told.out
    assert not any(b"0815" in content for content in files)


def test_a_day_or_data_do_not_go_with_live(tbot):
    told = tbot("screen", "--live", "--day", "2025-09-02")
    assert (told.status, "leave --day" in told.err) == (2, True)


def test_a_night_and_a_screen_over_the_sandbox(tbot, tmp_path, sandbox):
    write_env(tmp_path, alpaca=sandbox.url("alpaca"), finnhub=f"{sandbox.url('finnhub')}/api/v1")
    (tmp_path / ".env_bot").write_text("UNIVERSE=SYN01,SYN02,SYN03,NOPE\n", encoding="ascii")
    before = tbot("screen", "--live", "--json", *REAL_MONEY_RULES)
    assert before.status == 0
    assert not any(verdict["passed"] for verdict in by_symbol(before).values()), "no fundamentals yet"
    assert any("tbot fundamentals refresh" in note for note in json.loads(before.out)["notes"])

    night = tbot("fundamentals", "refresh", "--json")
    assert (night.status, json.loads(night.out)["done"], json.loads(night.out)["usable"]) == (0, 4, 4)
    assert json.loads(tbot("fundamentals", "refresh", "--json").out)["due"] == 0
    shown = tbot("fundamentals", "show", "syn01", "--json")
    assert json.loads(shown.out)["symbols"][0]["source"] == "finnhub"
    assert tbot("fundamentals", "show", "QQQQ").status == 1

    after = tbot("screen", "--live", "--json", *REAL_MONEY_RULES)
    verdicts = by_symbol(after)
    assert set(verdicts) == {"SYN01", "SYN02", "SYN03", "NOPE"}
    assert len(json.loads(after.out)["sessions"]) == 3
    assert json.loads(after.out)["sessions"][0]["day"] == "2025-09-02", "the market's day is the broker's"
    assert json.loads(after.out)["priced"] == {"alpaca": 3}
    rules = {rule["rule"]: rule for rule in verdicts["SYN01"]["rules"]}
    assert "; alpaca at 13:3" in rules["price"]["detail"]
    assert "; finnhub, 0 h old" in rules["market_cap"]["detail"]
    assert "not tradable by any list of assets" in json.dumps(verdicts["NOPE"])

    told = tbot("screen", "--live", "--explain", "syn01", "--session", "mid")
    assert told.status == 0
    assert "SYN01" in told.out
    assert "looked at alone" in told.out
    assert rules["market_cap"]["detail"] in told.out
    assert "SYN02" not in told.out


def test_when_alpacas_data_fail_finnhub_is_asked_and_the_switch_is_told(tbot, tmp_path, sandbox):
    def answer(path, query):
        if path == "/v2/assets":
            return 200, [asset("SYN01"), asset("SYN02"), asset("OTCX", exchange="OTC")]
        return 500, {"message": "down"}

    with VendorStandIn(answer) as alpaca:
        write_env(tmp_path, alpaca=alpaca.url, key=KEY)
        with (tmp_path / ".env").open("a", encoding="ascii") as file:
            file.write(f"FINNHUB_API_KEY=changeme\nFINNHUB_URL={sandbox.url('finnhub')}/api/v1\n")
        (tmp_path / ".env_bot").write_text("API_RETRY_LIMIT=0\n", encoding="ascii")
        told = tbot("screen", "--live", "--session", "open", "--json")
    assert told.status == 0, told.err
    found = json.loads(told.out)
    assert found["priced"].keys() <= {"finnhub"}
    assert any(note.startswith("alpaca failed with 2 symbols to go, finnhub is asked") for note in found["notes"])
    assert found["asked"]["finnhub"] == 2


def test_with_finnhub_alone_tradability_is_left_to_the_order(tbot, tmp_path):
    rows = [{"symbol": symbol, "type": "Common Stock", "mic": "XNYS"} for symbol in ("AAA", "BBB")]

    def answer(path, query):
        if path == "/stock/symbol":
            return 200, rows
        return 200, {"c": 50, "pc": 49, "o": 49, "t": wall_now() // 10**9}

    with VendorStandIn(answer) as finnhub:
        write_env(tmp_path, finnhub=finnhub.url, key=KEY)
        told = tbot("screen", "--live", "--session", "open", "--json")
    verdict = by_symbol(told)["AAA"]
    assert next(rule for rule in verdict["rules"] if rule["rule"] == "tradable")["outcome"] == Outcome.SKIPPED
    assert verdict["passed"], "test mode passes over what is missing"


# --- the supervisor's side


def house_of(home, *, told):
    records = records_for(home, Mode.PAPER, test_mode=True)
    settings = load_settings(home, {}, defaults_if_absent=True)
    log = structlog.testing.CapturingLogger()
    return settings, Housekeeping(
        bot=settings.bot, records=records, control=home / "control", log=log, tell=told.append
    )


def night_home(home, url, key=KEY):
    write_env(home, finnhub=url, key=key)
    with (home / ".env").open("a", encoding="ascii") as file:
        file.write("ALPACA_PAPER_API_KEY=changeme\nALPACA_PAPER_SECRET_KEY=changeme\n")
    (home / ".env_bot").write_text("TEST_MODE_VENUE=broker_paper\nUNIVERSE=AAA,BBB\n", encoding="ascii")


def usual(path, query):
    return 200, figures() if path == "/stock/metric" else profile()


async def until(true):
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


async def test_a_supervisor_refreshes_at_its_start_and_every_night_in_a_process_of_its_own(tmp_path):
    scheduler = AsyncIOScheduler(timezone="UTC")
    told: list[str] = []
    with VendorStandIn(usual) as vendor:
        night_home(tmp_path, vendor.url)
        settings, house = house_of(tmp_path, told=told)
        house.start(scheduler, settings)
        with open_cache(tmp_path) as cache:
            await until(lambda: len(cache.facts()) == 2)
        await house.close()
    jobs = [str(job.trigger) for job in scheduler.get_jobs()]
    assert "cron[hour='5-11', minute='20']" in jobs
    assert told == [], "a good night is no news"
    assert {asked.query["symbol"] for asked in vendor.seen} == {"AAA", "BBB"}


async def test_a_refresh_that_fails_is_told_once_with_its_reason_and_without_the_key(tmp_path):
    told: list[str] = []
    with VendorStandIn(usual) as vendor:
        night_home(tmp_path, vendor.url, key="changeme-wrong-0815")
        _, house = house_of(tmp_path, told=told)
        await house.refresh_fundamentals()
        await house.refresh_fundamentals()
    assert len(told) == 1
    assert told[0].startswith("fundamentals were not refreshed: finnhub GET /stock/metric: the key is refused")
    assert "0815" not in told[0]


async def test_a_supervisor_that_ends_does_not_wait_for_the_night_to_be_over(tmp_path):
    def slowly(path, query):
        time.sleep(3)
        return usual(path, query)

    told: list[str] = []
    with VendorStandIn(slowly) as vendor:
        night_home(tmp_path, vendor.url)
        settings, house = house_of(tmp_path, told=told)
        house.start(AsyncIOScheduler(timezone="UTC"), settings)
        await until(lambda: vendor.seen)
        began = time.monotonic()
        await house.close()
        assert time.monotonic() - began < 2
    assert told == []


@pytest.mark.parametrize(
    ("env", "bot", "wanted"),
    [("FINNHUB_API_KEY=changeme\n", "", False), ("", "TEST_MODE_VENUE=broker_paper\n", False),
     ("FINNHUB_API_KEY=changeme\n", "TEST_MODE_VENUE=broker_paper\n", True)],
)  # fmt: skip
def test_nights_are_for_those_who_look_at_a_real_market_with_a_key(tmp_path, env, bot, wanted):
    keys = "ALPACA_PAPER_API_KEY=changeme\nALPACA_PAPER_SECRET_KEY=changeme\n"
    (tmp_path / ".env").write_text(env + keys, encoding="ascii")
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / ".env_bot").write_text(bot or "MAX_TRADES=4\n", encoding="ascii")
    assert fundamentals_job.wanted_nightly(load_settings(tmp_path, {})) is wanted


def test_two_refreshes_never_run_at_once(tbot, tmp_path):
    with VendorStandIn(usual) as vendor:
        night_home(tmp_path, vendor.url)
        (tmp_path / "output" / "cache").mkdir(parents=True)
        with Lock(tmp_path / "output" / "cache" / "fundamentals.lock"):
            told = tbot("fundamentals", "refresh")
            nightly = subprocess.run(fundamentals_job.command(tmp_path), capture_output=True, text=True, check=False)
    assert (told.status, "under way already" in told.err) == (1, True)
    assert (nightly.returncode, "under way already" in nightly.stdout) == (0, True), "that is no alarm at night"
    assert vendor.seen == []

"""Both files together: what is accepted, what is said of what is not, what is hidden."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tbot_bot.config.env import EnvSettings
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import MASK, ConfigError
from tbot_bot.config.model import groups_of, variables
from tbot_bot.config.settings import load_settings, settings_lines, tbot_home
from tbot_bot.config.templates import templates, write_templates
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MILLISECOND, minutes, seconds
from tbot_bot.core.orders import ShortType

ROOT = Path(__file__).resolve().parents[2]
KEY = "A" * 43 + "="
BY_NAME = {variable.name: variable for model in (EnvSettings, BotSettings) for variable in variables(model)}


def load(home, bot="", env="", **overrides):
    (home / ".env").write_text(env)
    (home / ".env_bot").write_text(bot or "# nothing\n")
    return load_settings(home, overrides)


def complaints(home, bot="", env="", **overrides) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(home, bot, env, **overrides)
    return str(caught.value).splitlines()


# --- values


def test_values_arrive_typed(tmp_path):
    bot = load(
        tmp_path,
        "MAX_TRADES = 2 # two\nWEIGHTS=0.6, 0.4\nSLEEP_TIME=250ms\nAPI_TIMEOUT=5\nSHORT_TYPE_MID= InverseETF   # note\n"
        "MIN_MARKET_CAP_OPEN=2e9\nOPEN_ANALYSIS_TIME=15\nGUARD_TIMEOUT=2m\nUNIVERSE=SPY,BRK.B\nSTRATEGY_OVERRIDE=mid\n",
    ).bot

    assert bot.max_trades == 2
    assert bot.weights == (Decimal("0.6"), Decimal("0.4"))
    assert (bot.sleep_time, bot.api_timeout, bot.guard_timeout) == (250 * MILLISECOND, seconds(5), minutes(2))
    assert bot.open_analysis_time == minutes(15)
    assert bot.strategy(StrategyName.MID).short_type is ShortType.INVERSE_ETF
    assert bot.min_market_cap_open == Decimal(2_000_000_000)
    assert bot.universe.symbols == ("SPY", "BRK.B")
    assert bot.strategies == (StrategyName.MID,)


@pytest.mark.parametrize("name", StrategyName)
def test_each_strategy_is_given_its_own_variables(tmp_path, name):
    text = (
        f"STRAT_{name.name}_ENABLED=false\nSTART_TIME_{name.name}=17:01\n{name.name}_ANALYSIS_TIME=11\n"
        f"{name.name}_BREAKOUT_TIME=12\n{name.name}_MONITORING_TIME=13\nSHORT_TYPE_{name.name}=ShortSell\n"
        f"MAX_GAP_PCT_{name.name}=0.3\nMIN_MARKET_CAP_{name.name}=4\nMAX_MARKET_CAP_{name.name}=5\n"
    )
    chosen = load(tmp_path, text).bot.strategy(name)

    assert (chosen.name, chosen.enabled, f"{chosen.start_time:%H:%M}") == (name, False, "17:01")
    assert (chosen.analysis_time, chosen.breakout_time, chosen.monitoring_time) == (
        minutes(11),
        minutes(12),
        minutes(13),
    )
    assert chosen.window == minutes(36)
    assert chosen.short_type is ShortType.SHORT_SELL
    assert (chosen.max_gap_pct, chosen.min_market_cap, chosen.max_market_cap) == (Decimal("0.3"), 4, 5)


@pytest.mark.parametrize(
    "line",
    [
        "TEST_MODE=True",
        "TEST_MODE=1",
        "MAX_TRADES=0",
        "MAX_TRADES=21",
        "MAX_TRADES=4.0",
        "MAX_TRADES=٣",
        "MAX_TRADES=1_0",
        "MAX_TRADES=",
        "MIN_PRICE=NaN",
        "MIN_PRICE=Infinity",
        "MIN_PRICE=1,5",
        "MIN_PRICE=1e999",
        "SLEEP_TIME=1",
        "SLEEP_TIME=1 s",
        "SLEEP_TIME=1h",
        "SLEEP_TIME=2m",
        "START_TIME_MID=24:00",
        "START_TIME_MID=9:30",
        "TRADING_DAYS=",
        "TRADING_DAYS=mon,sun",
        "TRADING_DAYS=mon,mon",
        "STRATEGY_SEQUENCE=open,night",
        "STRATEGY_OVERRIDE=open,open",
        "SHORT_TYPE_OPEN=longput",
        "TIME_COMPRESSION=3601",
        "TOTAL_CAPITAL=0",
        "WEIGHTS=",
        "UNIVERSE=spy",
        "UNIVERSE=../list.txt",
        "INVERSE_ETF_MAP=/etc/map.csv",
        "VERSION_TAG=1.0.0",
        "PUT_TARGET_DELTA=0.5",
    ],
)
def test_what_cannot_be_used_is_said_with_line_value_and_what_is_expected(tmp_path, line):
    name, _, value = line.partition("=")

    assert complaints(tmp_path, f"# head\n{line}\n") == [
        f".env_bot:2: {name}={value!r}: expected {BY_NAME[name].kind.expected}; "
        + (f"the default is {BY_NAME[name].default}" if BY_NAME[name].default else "correct the value")
    ]


@pytest.mark.parametrize(
    "line",
    [
        "ALPACA_PAPER_URL=http://paper.example",
        "ALPACA_STREAM_URL=https://stream.example",
        "CONTROL_DIR=/tmp",
        "ENV_BOT_PATH=",
        "LOCAL_PORT=0",
        "LOCAL_IP=everywhere",
        "ALERT_EMAIL=nobody",
        "ENVIRONMENT=test",
    ],
)
def test_the_same_holds_for_where_things_are(tmp_path, line):
    (complaint,) = complaints(tmp_path, env=f"{line}\n")

    assert complaint.startswith(f".env:1: {line.partition('=')[0]}=")


def test_a_sandbox_on_this_machine_needs_no_encryption(tmp_path):
    env = load(tmp_path, env="ALPACA_PAPER_URL=http://127.0.0.1:8080/x\nALPACA_STREAM_URL=ws://localhost:1\n").env

    assert env.alpaca_paper_url == "http://127.0.0.1:8080/x"


# --- all at once


def test_everything_wrong_is_said_at_once_over_both_files(tmp_path):
    said = complaints(
        tmp_path,
        bot="nonsense\nMAX_TRADE=3\nMAX_TRADES=x\nMIN_PRICE=200\nVIX_SOURCE=auto\nVIX_SOURCE=auto\n",
        env="LOCAL_PORT=x\nFINNHUB_KEY=abc\n",
        MAX_RISK_PER_TRADE="0.01",
        TEST_MODE="yes",
    )

    assert [line.split(": ")[0] + " " + line.split(": ")[1].split("=")[0] for line in said] == [
        ".env:1 LOCAL_PORT",
        ".env:2 FINNHUB_KEY",
        ".env_bot:1 expected NAME",
        ".env_bot:2 MAX_TRADE",
        ".env_bot:3 MAX_TRADES",
        ".env_bot:4 MIN_PRICE",
        ".env_bot:6 VIX_SOURCE",
        "--set TEST_MODE",
        "--set MAX_RISK_PER_TRADE",
    ]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("MAX_TRADE", "MAX_TRADES"), ("max_trades", "MAX_TRADES"), ("TESTMODE", "TEST_MODE"), ("WIEGHTS", "WEIGHTS")],
)
def test_a_misspelt_name_is_answered_with_the_nearest(tmp_path, wrong, right):
    assert complaints(tmp_path, f"{wrong}=1") == [
        f".env_bot:1: {wrong}: expected a known variable; did you mean {right}?"
    ]


def test_a_variable_in_the_wrong_file_is_sent_to_the_right_one(tmp_path):
    assert "it belongs in .env\n" in "\n".join(complaints(tmp_path, "FINNHUB_API_KEY=x\n", "MAX_TRADES=4")) + "\n"
    assert "it belongs in .env_bot" in complaints(tmp_path, env="MAX_TRADES=4")[0]


def test_a_stranger_like_nothing_is_to_be_deleted(tmp_path):
    assert complaints(tmp_path, "QQQQ=1")[0].endswith("delete it")


def test_older_names_are_understood_but_not_beside_the_newer(tmp_path):
    assert load(tmp_path, "ACCOUNTING_EXPORT_MODE=off").bot.ledger_export_mode == "off"
    assert load(tmp_path, env=f"ENV_BOT_KEY={KEY}").env.encryption_key.get_secret_value() == KEY
    assert "older name" in complaints(tmp_path, "ACCOUNTING_EXPORT_MODE=off\nLEDGER_EXPORT_MODE=off")[0]


def test_absent_files_are_problems_unless_defaults_are_asked_for(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    fresh = load_settings(tmp_path, defaults_if_absent=True)

    assert [problem.file for problem in caught.value.problems] == [".env", ".env_bot"]
    assert fresh.bot.test_mode
    assert fresh.bot.total_capital == 1_000_000


# --- cross checks


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("WEIGHTS=0.5,0.5", "WEIGHTS"),
        ("WEIGHTS=0.4,0.2,0.2,0.21", "WEIGHTS"),
        ("WEIGHTS=0.4,0.2,0.2,0.199999998", "WEIGHTS"),
        ("MAX_RISK_PER_TRADE=0.0199", "MAX_RISK_PER_TRADE"),
        ("MIN_PRICE=101", "MIN_PRICE"),
        ("MIN_MARKET_CAP_MID=1e10\nMAX_MARKET_CAP_MID=9e9", "MIN_MARKET_CAP_MID"),
        ("START_TIME_OPEN=14:29", "START_TIME_OPEN"),
        ("START_TIME_CLOSE=20:11", "START_TIME_CLOSE"),
        ("OPEN_MONITORING_TIME=31", "START_TIME_MID"),
        ("SESSION_ANCHOR=utc\nSTART_TIME_OPEN=13:29", "START_TIME_OPEN"),
        ("TEST_MODE=false\nALPACA_ENABLED=false\nTOTAL_CAPITAL=1", "ALPACA_ENABLED"),
        ("TEST_MODE_VENUE=broker_paper\nALPACA_ENABLED=false\nTRADIER_ENABLED=true", "TEST_MODE_VENUE"),
        ("VERSION_TAG=v9.9.9", "VERSION_TAG"),
    ],
)
def test_what_does_not_fit_together_is_said_once(tmp_path, text, variable):
    (tmp_path / "VERSION.md").write_text("# v1.0.0\n\nolder: v9.9.9\n")
    said = complaints(tmp_path, text)

    assert len(said) == 1, said
    assert said[0].split(": ")[1].split("=")[0] == variable


@pytest.mark.parametrize(
    "text",
    [
        "WEIGHTS=0.4,0.2,0.2,0.1999999995",
        "MAX_RISK_PER_TRADE=0.02",
        "START_TIME_CLOSE=20:10",
        "OPEN_MONITORING_TIME=31\nSTRAT_MID_ENABLED=false",
        "SESSION_ANCHOR=utc\nSTART_TIME_OPEN=13:30",
        "MIN_PRICE=100",
        "ALPACA_ENABLED=false",
        "STRATEGY_SEQUENCE=close,open",
    ],
)
def test_what_just_fits_is_accepted(tmp_path, text):
    load(tmp_path, text)


def test_credentials_are_asked_for_only_where_they_will_be_used(tmp_path):
    live = "TEST_MODE=false\nTOTAL_CAPITAL=5\nIBKR_ENABLED=true\nALPACA_MODE=live\n"
    paper_keys = "ALPACA_PAPER_API_KEY=a\nALPACA_PAPER_SECRET_KEY=b\n"

    assert [line.split(": ")[1] for line in complaints(tmp_path, live, paper_keys)] == [
        "ALPACA_LIVE_API_KEY",
        "ALPACA_LIVE_SECRET_KEY",
        "IBKR_PAPER_ACCOUNT_NUMBER",
    ]
    load(tmp_path, "TEST_MODE=false\nTOTAL_CAPITAL=5\n", paper_keys)
    load(tmp_path, "TEST_MODE_VENUE=broker_paper\nALPACA_MODE=live\n", paper_keys)
    assert len(complaints(tmp_path, "TEST_MODE_VENUE=broker_paper\n")) == 2


def test_capital_is_asked_for_where_it_is_real(tmp_path):
    keys = "ALPACA_PAPER_API_KEY=a\nALPACA_PAPER_SECRET_KEY=b\n"

    assert complaints(tmp_path, "TEST_MODE=false", keys)[0].startswith(".env_bot: TOTAL_CAPITAL: expected")


def test_a_variable_already_wrong_is_not_judged_by_its_default(tmp_path):
    assert len(complaints(tmp_path, "MAX_TRADES=x\nWEIGHTS=1")) == 1


# --- precedence and the process environment


def test_the_command_line_goes_before_the_file_and_is_checked_like_it(tmp_path):
    assert load(tmp_path, "MAX_PRICE=50", MAX_PRICE=" 60 ").bot.max_price == 60
    assert complaints(tmp_path, MAX_PRICE="x\ny")[0].startswith("--set: MAX_PRICE='x\\ny': expected a number")
    assert "it belongs in .env" in complaints(tmp_path, LOCAL_PORT="1")[0]


def test_the_process_environment_gives_the_key_and_nothing_else(tmp_path, monkeypatch):
    for name in ("USERNAME", "MAX_TRADES", "max_trades", "LOCAL_PORT"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)
    settings = load(tmp_path, env=f"ENCRYPTION_KEY={'B' * 43}=\n")

    assert settings.env.username == ""
    assert (settings.bot.max_trades, settings.env.local_port) == (4, 6900)
    assert settings.env.encryption_key.get_secret_value() == KEY


def test_home_is_where_the_environment_says_or_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tbot_home() == tmp_path
    monkeypatch.setenv("TBOT_HOME", str(tmp_path / "x"))
    assert tbot_home() == tmp_path / "x"


def test_the_bot_file_may_have_another_name(tmp_path):
    (tmp_path / ".env").write_text("ENV_BOT_PATH=how/to_trade\n")
    (tmp_path / "how").mkdir()
    (tmp_path / "how" / "to_trade").write_text("MAX_PRICE=x\n")

    with pytest.raises(ConfigError, match=r"^how/to_trade:1: MAX_PRICE"):
        load_settings(tmp_path)


# --- secrets


SECRETS = [variable.name for variable in BY_NAME.values() if variable.kind.secret]


def test_every_credential_is_a_secret():
    hidden = re.compile(r"KEY|SECRET|PASS|TOKEN|ACCOUNT_NUMBER|WEBHOOK|DATABASE_URL|ALERT_URLS|BACKUP_REMOTE")

    assert [name for name in BY_NAME if hidden.search(name)] == SECRETS


def test_no_secret_is_shown_by_text_lines_or_errors(tmp_path):
    given_by_name = dict.fromkeys(SECRETS, "hunter2")
    given_by_name |= {
        "ENCRYPTION_KEY": KEY.replace("A" * 7, "hunter2", 1),
        "BACKUP_RECIPIENT_KEY": KEY.replace("A" * 7, "hunter2", 1),
        "DATABASE_URL": "postgresql://hunter2@db",
        "SLACK_WEBHOOK_URL": "https://hunter2",
        "ALERT_URLS": "x://hunter2,y://hunter2",
    }
    settings = load(tmp_path, env="".join(f"{name}={value}\n" for name, value in given_by_name.items()))
    lines = settings_lines(settings)

    assert "hunter2" not in repr(settings) + str(settings.env) + "".join(lines)
    assert {line for line in lines if line.endswith(MASK)} == {f"{name}={MASK}" for name in SECRETS}
    assert set(settings_lines(settings, masked=False)) >= {f"{name}={value}" for name, value in given_by_name.items()}

    wrong = "ENCRYPTION_KEY=hunter2\nSLACK_WEBHOOK_URL=hunter2\nALERT_URLS=hunter2\nFINHUB_API_KEY=hunter2\n"
    said = complaints(tmp_path, env=wrong + "FINNHUB_URL=https://me:hunter2@finnhub.example\n")
    assert len(said) == 5
    assert "hunter2" not in "".join(said)
    assert sum(MASK in line for line in said) == 4


def test_lines_are_stable_and_complete(tmp_path):
    lines = settings_lines(load(tmp_path, "MAX_PRICE=60"))

    assert lines == settings_lines(load(tmp_path, "# other\nMAX_PRICE = 60.0"))
    assert [line.partition("=")[0] for line in lines] == list(BY_NAME)
    assert "MAX_PRICE=60" in lines
    assert f"FINNHUB_API_KEY={MASK}" not in lines


# --- templates


def test_templates_are_what_the_models_say():
    for name, text in templates().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, "run: python -m tbot_bot.config.templates"


def test_templates_work_as_they_are_and_say_the_defaults(tmp_path):
    for written in write_templates(tmp_path):
        written.rename(tmp_path / {".env.example": ".env", ".env_bot.template-test": ".env_bot"}[written.name])
    settings = load_settings(tmp_path)
    fresh = load_settings(tmp_path / "none", defaults_if_absent=True)

    assert settings_lines(settings, masked=False) == settings_lines(fresh, masked=False)
    assert settings.bot == fresh.bot  # each default is what its text is read as
    assert settings.env == fresh.env
    assert settings.bot.model_fields_set == set(BotSettings.model_fields)


def test_every_variable_is_in_one_group_and_explained():
    for model in (EnvSettings, BotSettings):
        assert {variable.attribute for variable in variables(model)} == set(model.model_fields)
        assert sum(len(group.model_fields) for group in groups_of(model)) == len(model.model_fields)
    assert all(variable.kind.description.endswith(".") for variable in BY_NAME.values())


def test_settings_are_frozen(tmp_path):
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).bot.max_trades = 5


# --- anything


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*BY_NAME, "MAX_TRADE", "a b"]), st.text(max_size=12) | st.sampled_from(["0", "1", "a,b"])
        )
    )
)
def test_any_file_is_settings_or_one_line_for_each_problem(tmp_path, lines):
    (tmp_path / ".env").write_text("# nothing\n")
    (tmp_path / ".env_bot").write_bytes("\n".join(f"{name}={value}" for name, value in lines).encode())
    said, count = "", 0
    try:
        load_settings(tmp_path)
    except ConfigError as error:
        said, count = str(error), len(error.problems)

    assert len(said.splitlines()) == count
    ours = (".env_bot:", ".env: ALPACA_", ".env: IBKR_")
    # a file that a line names is told by its own name, and with the line
    assert all(line.startswith(ours) or "; see .env_bot:" in line for line in said.splitlines()), said

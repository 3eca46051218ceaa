"""`tbot float`: what a person sees, what a person allows, and money that moves once whatever dies in between."""

import json
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import DAY as DAY_SPAN
from tbot_bot.core.instants import later
from tbot_bot.journal.verify import verify
from tbot_bot.runtime.cli import main
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.float_desk import bank_objection
from tbot_bot.runtime.locks import Lock
from tests.support.bank_stand_in import TOKEN, StandIn
from tests.support.float_home import ACCOUNTS, BALANCES, DAY, SETTINGS, control_rows, furnish, read_accounts, told

REPOSITORY = Path(__file__).resolve().parent.parent.parent
AUTHORIZE = ("transfer", "--authorize", "--why", "weekly rebalance")
ONE_TRANSFER = ["TransfersAuthorized", "TransferAsked", "TransferSettled"]
MOVED = [("acc-alpaca", "acc-ibkr", "50000.00")]


@pytest.fixture
def bank():
    with StandIn(BALANCES) as started:
        yield started


@pytest.fixture
def home(tmp_path, bank):
    """Return an installation where alpaca has 50,000 dollars too much and ibkr as many too few."""
    made = furnish(tmp_path / "home", bank.url)
    read_accounts(made, alpaca="150000", ibkr="50000")
    return made


@pytest.fixture
def tbot(home, monkeypatch, capsys):
    """Return what runs a float command in this process: its status, what it printed, what it complained about."""
    monkeypatch.setenv("TBOT_HOME", str(home))

    def run(*words):
        status = main(["float", *words])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


# --- looking ----------------------------------------------------------------------------------------------------------


def test_show_prints_target_float_deviation_and_when_it_was_read(tbot, bank):
    status, out, _ = tbot("show")
    assert status == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "alpaca 100,000.00 150,000.00 +50.0 % (!) 2025-09-04T13:30:00Z" in rows
    assert "reserve 200,000.00 not read: no broker may touch it" in rows
    assert "Thursday 2025-09-04" in out
    assert bank.seen == [], "looking asks no bank"


def test_show_and_plan_are_json_for_programs(tbot):
    shown = json.loads(tbot("show", "--json")[1])
    assert [line["deviation"] for line in shown["floats"]] == ["0.500000", "-0.500000"]
    planned = json.loads(tbot("plan", "--json")[1])
    assert planned["transfers"] == [{"from": "alpaca", "to": "ibkr", "amount": "50000.00"}]
    assert planned["plan"].startswith("rp-20250904-")


def test_a_plan_is_only_a_plan(tbot, home, bank):
    for words in (("plan",), ("transfer",)):
        status, out, _ = tbot(*words)
        assert status == 0
        assert "alpaca sends 50,000.00 to ibkr" in out
        assert "tbot float transfer --authorize" in out
    assert (bank.seen, told(home)) == ([], [])


def test_without_a_reading_there_is_no_plan_and_the_status_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(furnish(tmp_path / "new")))
    assert main(["float", "plan"]) == 1
    assert "alpaca was never read" in capsys.readouterr().out


def test_one_broker_that_was_not_read_with_the_others_stops_the_plan(tbot, home):
    read_accounts(home, day=date(2025, 9, 8), alpaca="160000")
    status, out, _ = tbot("plan")
    assert status == 1
    assert "ibkr was last read on 2025-09-04" in out


def test_the_last_reading_counts(tbot, home):
    read_accounts(home, session="mid", alpaca="101000", ibkr="99000")
    assert "every float is within tolerance" in tbot("plan")[1]


# --- what has to be so before money moves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token": ""}, "without a MERCURY_API_TOKEN there are plans only"),
        ({"bank_url": "https://api.mercury.com/api/v1"}, "in test mode no bank is asked but one on this machine"),
        ({"accounts": ""}, "float_accounts.csv: expected the file"),
        ({"accounts": "name,account_id,daily_limit\nalpaca,acc-alpaca,10\n"}, "expected a line for ibkr"),
        ({"accounts": ACCOUNTS.replace("acc-ibkr", "changeme")}, "float_accounts.csv:3: expected the bank's id"),
        ({"accounts": ACCOUNTS.replace("acc-ibkr", "acc-alpaca")}, "an account of its own for each name"),
        ({"accounts": ACCOUNTS.replace("1000000", "a lot")}, "the most dollars that may leave the account in a day"),
    ],
)
def test_a_transfer_that_is_not_configured_is_a_settings_error_and_asks_nobody(tbot, home, bank, change, says):
    (home / "float_accounts.csv").unlink()
    furnish(home, **{"bank_url": bank.url, **change})
    status, _, err = tbot(*AUTHORIZE)
    assert status == 2
    assert says in err
    assert TOKEN not in err
    assert (bank.seen, told(home)) == ([], [])


@pytest.mark.parametrize(
    ("modes", "objection"),
    [
        ({"ALPACA_MODE": "paper", "IBKR_MODE": "live"}, "alpaca trades on paper"),
        ({"ALPACA_MODE": "live", "IBKR_MODE": "live"}, ""),
    ],
)
def test_real_money_does_not_follow_paper_floats(tmp_path, modes, objection):
    keys = "ALPACA_LIVE_API_KEY=changeme\nALPACA_LIVE_SECRET_KEY=changeme\nIBKR_LIVE_ACCOUNT_NUMBER=U1\n"
    keys += "ALPACA_PAPER_API_KEY=changeme\nALPACA_PAPER_SECRET_KEY=changeme\n"
    home = furnish(tmp_path / "live")
    (home / ".env").write_text(f"MERCURY_API_TOKEN=changeme\n{keys}", encoding="ascii")
    settings = load_settings(home, {"TEST_MODE": "false", **modes})
    assert bank_objection(settings).startswith(objection)
    assert bool(bank_objection(settings)) is bool(objection)


def test_an_authorization_needs_a_reason(tbot, home, bank):
    assert tbot("transfer", "--authorize")[0] == 2
    assert tbot("transfer", "--authorize", "--why", " ")[0] == 2
    assert bank.seen == []


def test_nothing_moves_while_the_kill_switch_is_engaged(tbot, home, bank):
    (home / "control").mkdir(exist_ok=True)
    (home / "control" / "killed.json").write_text('{"by": "me", "why": "a test"}', encoding="ascii")
    assert tbot(*AUTHORIZE)[0] == 5
    assert (bank.seen, told(home)) == ([], [])


def test_two_cannot_move_floats_at_once(tbot, home, bank):
    with Lock(home / "control" / "float.lock"):
        status, _, err = tbot(*AUTHORIZE)
    assert (status, bank.seen) == (4, [])
    assert "another process" in err


# --- moving money -----------------------------------------------------------------------------------------------------


def test_an_authorized_plan_is_carried_out_and_on_record(tbot, home, bank):
    status, out, _ = tbot(*AUTHORIZE)
    assert status == 0, out
    assert "done" in out
    assert bank.books.lines() == MOVED
    authorized, asked, settled = control_rows(home)
    assert authorized.why == "weekly rebalance"
    assert authorized.by.endswith("(tbot float transfer)")
    assert authorized.plan_id == authorized.plan.plan_id
    assert asked.transfer_id == settled.transfer_id == authorized.transfers[0].transfer_id
    assert (settled.outcome, settled.bank_id) == ("done", "txn-1")
    assert verify(home / "output" / "journal" / f"tbot_{Mode.PAPER}.sqlite3").ok
    records = b"".join(path.read_bytes() for path in (home / "output").rglob("*") if path.is_file())
    assert TOKEN.encode() not in records


def test_authorizing_again_finds_nothing_left_to_send(tbot, bank):
    tbot(*AUTHORIZE)
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (0, MOVED)
    assert "nothing to send" in out


def test_the_next_reading_counts_without_what_was_moved_before_it(tbot, home, bank):
    tbot(*AUTHORIZE)
    read_accounts(home, day=date(2025, 9, 5), alpaca="150000", ibkr="50000")
    assert "alpaca sends 50,000.00" in tbot("plan")[1], "the broker's own word is newer than ours"


def test_the_daily_limit_counts_what_was_sent_today(tbot, home, bank):
    (home / "float_accounts.csv").write_text(ACCOUNTS.replace("acc-alpaca,1000000", "acc-alpaca,20000"), "ascii")
    assert tbot(*AUTHORIZE)[0] == 0
    assert bank.books.lines() == [("acc-alpaca", "acc-ibkr", "20000.00")]
    out = tbot(*AUTHORIZE)[1]
    assert "would send 30,000.00 more to ibkr; left for a later day by the bank's daily limit" in out
    assert len(bank.books.lines()) == 1


def test_a_bank_that_lacks_the_money_is_not_asked_to_move_it(tbot, home, bank):
    bank.books.balances["acc-alpaca"] -= 160_000
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (1, [])
    assert "alpaca has 40000.00 of 50000.00 dollars at the bank" in out
    assert "POST /transfer" not in bank.seen
    assert told(home) == ["TransfersAuthorized", "TransferSettled"]


def test_an_account_that_the_bank_does_not_know_is_refused_and_can_be_mended(tbot, home, bank):
    (home / "float_accounts.csv").write_text(ACCOUNTS.replace("acc-ibkr", "acc-other"), "ascii")
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (1, [])
    assert "the bank has no account in use with the id that float_accounts.csv gives ibkr" in out
    (home / "float_accounts.csv").write_text(ACCOUNTS, "ascii")
    assert (tbot(*AUTHORIZE)[0], bank.books.lines()) == (0, MOVED)


# --- the reserve ------------------------------------------------------------------------------------------------------


def test_a_plan_stops_at_the_reserve_unless_the_reserve_is_authorized(tbot, home, bank):
    read_accounts(home, session="mid", alpaca="60000", ibkr="60000")
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (0, [])
    assert "the brokers lack 80,000.00 together; a plan stops at the reserve" in out
    status, out, _ = tbot(*AUTHORIZE, "--from-reserve", "50000")
    assert status == 0, out
    assert sorted(bank.books.lines()) == [
        ("acc-reserve", "acc-alpaca", "25000.00"),
        ("acc-reserve", "acc-ibkr", "25000.00"),
    ]
    assert control_rows(home)[0].from_reserve == 50_000


@pytest.mark.parametrize("amount", ["0", "-5", "1.005", "NaN", "much"])
def test_an_amount_for_the_reserve_is_dollars_and_cents(tbot, amount):
    assert tbot("plan", f"--from-reserve={amount}")[0] == 2


def test_defense_mode_leaves_the_reserve_alone(tbot, home, bank):
    (home / ".env_bot").write_text(f"{SETTINGS}DEFENSE_MODE_ACTIVE=true\n", encoding="ascii")
    status, out, _ = tbot(*AUTHORIZE, "--from-reserve", "50000")
    assert (status, bank.seen) == (1, [])
    assert "defense mode takes nothing from the reserve" in out


# --- answers that are lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lose", "late"])
def test_an_answer_that_is_lost_is_looked_up_before_anything_else(tbot, home, bank, how):
    bank.script = [how]
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (0, MOVED)
    assert "found among the bank's transactions" in out
    assert bank.seen.count("POST /transfer") == 1


@pytest.mark.parametrize("how", ["drop", "error"])
def test_a_transfer_in_doubt_is_looked_up_and_then_sent_under_the_same_key(tbot, home, bank, how):
    bank.script = [how]
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (1, [])
    assert "in doubt" in out
    assert "asked at" in tbot("show")[1]
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (0, MOVED)
    assert "an earlier authorization was not finished" in out
    rows = control_rows(home)
    assert len({row.idempotency_key for row in rows if type(row).__name__ == "TransferAsked"}) == 1
    assert bank.seen.index("GET /account/acc-alpaca/transactions") < len(bank.seen) - 1 - bank.seen[::-1].index(
        "POST /transfer"
    )


@pytest.mark.parametrize(
    ("how", "says"),
    [("drop", "the bank has not booked it in the day since it was asked"), (None, "more than a day old")],
)
def test_what_was_left_undone_lapses_after_a_day(tbot, home, bank, monkeypatch, how, says):
    if how is None:
        assert killed_at(home, 2) == -signal.SIGKILL
    else:
        bank.script = [how]
        tbot(*AUTHORIZE)
    tomorrow = later(wall_now(), DAY_SPAN + 1)
    monkeypatch.setattr("tbot_bot.runtime.float_transfer.wall_now", lambda: tomorrow)
    sent = bank.seen.count("POST /transfer")
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines(), bank.seen.count("POST /transfer")) == (1, [], sent)
    assert says in out
    assert (tbot(*AUTHORIZE)[0], bank.books.lines()) == (0, MOVED), "a new authorization is free to be given"


def test_a_transfer_that_somebody_made_by_hand_today_is_refused_with_the_reason(tbot, home, bank):
    bank.books.transfers.append(
        {
            "id": "txn-by-hand",
            "sourceAccountId": "acc-alpaca",
            "destinationAccountId": "acc-ibkr",
            "amount": 50_000,
            "note": "by hand",
            "at": "2999-01-01T00:00:00+00:00",
        }
    )
    status, out, _ = tbot(*AUTHORIZE)
    assert status == 1
    assert "once in 24 hours" in out
    assert len(bank.books.transfers) == 1
    assert control_rows(home)[-1].outcome == "refused"


def test_a_refused_token_moves_nothing_and_is_not_shown(tbot, home, bank):
    furnish(home, bank.url, token="another-changeme-canary")
    status, out, err = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (1, [])
    assert "MERCURY_API_TOKEN" in err
    assert "canary" not in out + err


# --- kill -9 at every step --------------------------------------------------------------------------------------------

KILLED_AT = """
import os, signal, sys
from tbot_bot.journal.store import Journal
from tbot_bot.treasury.mercury import Mercury
from tbot_bot.runtime.cli import main

left = int(sys.argv.pop(1))

def step(name):
    global left
    left -= 1
    if left == 0:
        print(name, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

append, ask = Journal.append, Mercury._ask

def appending(self, entries):
    step("before a row of the journal")
    done = append(self, entries)
    step("after a row of the journal")
    return done

async def asking(self, method, path, query, content):
    step(f"before {method} {path}")
    body = await ask(self, method, path, query, content)
    step(f"after {method} {path}")
    return body

Journal.append, Mercury._ask = appending, asking
sys.exit(main())
"""
STEPS = 12
"""Three rows and three requests, each with a before and an after."""


def killed_at(home, step):
    """Authorize in a process that is killed at its `step`-th step; return its exit status."""
    return subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(step), "float", *AUTHORIZE],
        env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY, capture_output=True, text=True, check=False,
        timeout=60,
    ).returncode  # fmt: skip


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=() if step in {2, 8, 9} else pytest.mark.slow) for step in range(1, STEPS + 1)],
)
def test_a_transfer_is_made_once_if_it_is_killed_at_any_step_and_run_again(tbot, home, bank, step):
    assert killed_at(home, step) == -signal.SIGKILL
    before = bank.books.lines()
    assert tbot(*AUTHORIZE)[0] == 0
    assert bank.books.lines() == MOVED
    assert before in ([], MOVED)
    assert told(home)[0] == "TransfersAuthorized"
    assert told(home).count("TransfersAuthorized") == 1
    assert told(home).count("TransferSettled") == 1
    assert "nothing to send" in tbot(*AUTHORIZE)[1]
    assert bank.books.lines() == MOVED


@pytest.mark.slow
def test_there_are_no_more_steps_than_those(home, bank):
    assert killed_at(home, STEPS + 1) == 0
    assert bank.books.lines() == MOVED


def test_a_bank_that_booked_while_the_asker_died_is_not_asked_again(tbot, home, bank):
    running: list[subprocess.Popen[bytes]] = []
    bank.on_transfer = lambda: os.kill(running[0].pid, signal.SIGKILL)
    program = "import sys; from tbot_bot.runtime.cli import main; sys.exit(main())"
    running.append(
        subprocess.Popen(
            [sys.executable, "-c", program, "float", *AUTHORIZE], env={**os.environ, "TBOT_HOME": str(home)},
            cwd=REPOSITORY, stdout=subprocess.DEVNULL,
        )
    )  # fmt: skip
    assert running[0].wait(60) == -signal.SIGKILL
    assert told(home) == ONE_TRANSFER[:2]
    bank.on_transfer = lambda: None
    status, out, _ = tbot(*AUTHORIZE)
    assert (status, bank.books.lines()) == (0, MOVED)
    assert "found among the bank's transactions" in out
    assert bank.seen.count("POST /transfer") == 1


def test_after_a_kill_another_file_of_accounts_does_not_send_the_money_elsewhere(tbot, home, bank):
    assert killed_at(home, 2) == -signal.SIGKILL
    (home / "float_accounts.csv").write_text(ACCOUNTS.replace("acc-ibkr", "acc-reserve-2"), "ascii")
    assert tbot(*AUTHORIZE)[0] == 0
    assert bank.books.lines() == MOVED


def test_neither_looking_nor_the_supervisor_loads_an_http_client(home):
    program = (
        "import sys\n"
        "from tbot_bot.runtime.cli import main\n"
        "import tbot_bot.runtime.supervisor\n"
        "status = main(['float', 'plan'])\n"
        "print(sorted(name for name in sys.modules if name in {'httpx2', 'stamina'}), status)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.splitlines()[-1] == "[] 0"


def test_the_day_of_the_readings_is_the_day_of_the_plan(tbot):
    assert json.loads(tbot("plan", "--json")[1])["day"] == DAY.isoformat()

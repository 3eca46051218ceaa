"""A trading day whose fills and exits reach a real mail server, by the processes as they are started."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

import pytest
from pytest_httpserver import HTTPServer

from tbot_bot.runtime.locks import holder
from tests.support.crafted_day import DAY, breakout_up, flat, write_day
from tests.support.post_office import MailServer, body, free_port, mail_settings, write_home

TBOT = (sys.executable, "-c", "import sys; from tbot_bot.runtime.cli import main; sys.exit(main())")
PATIENCE_SECONDS = 120.0


def tbot(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    env = {**os.environ, "TBOT_HOME": str(home)}
    return subprocess.run(
        [*TBOT, *words], env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def trade_a_day(home: Path) -> None:
    """Trade OPEN over a crafted day, and wait until nobody sends any more."""
    write_day(home / "bars.csv", {"AAA": breakout_up(), "BBB": flat(20.0, 390)})
    ran = tbot(
        home, "run", "--once", "--rehearsal", "--day", DAY.isoformat(), "--data", str(home / "bars.csv"),
        "--speed", "400", "--set", "STRATEGY_OVERRIDE=open",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    deadline = time.monotonic() + PATIENCE_SECONDS
    while holder(home / "control" / "alerts.lock") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_fill_an_exit_and_the_day_reach_the_mail_server_and_are_done_in_the_outbox(tmp_path: Path) -> None:
    with MailServer() as server:
        home = write_home(tmp_path / "home", mail_settings(server.port))
        trade_a_day(home)
        texts = "\n".join(f"{mail['Subject']}\n{body(mail)}" for mail in server.mails)
    assert "entered AAA at alpaca (open)" in texts
    assert "left AAA at alpaca: " in texts
    (day,) = [mail for mail in server.mails if DAY.isoformat() in str(mail["Subject"])]
    assert "1 trade" in str(day["Subject"])
    assert day.get_body(("html",)) is not None
    listed = json.loads(tbot(home, "alerts", "list", "--all", "--json").stdout)
    assert len(listed) == len(server.mails)
    assert {one["state"] for one in listed} == {"done"}
    assert len({str(mail["Message-ID"]) for mail in server.mails}) == len(server.mails)


@pytest.mark.slow  # its short form: test_alert_keeper.py
def test_in_test_mode_nothing_is_sent_unless_it_is_allowed(tmp_path: Path) -> None:
    with MailServer() as server:
        home = write_home(tmp_path / "home", mail_settings(server.port), bot="TEST_MODE=true\n")
        trade_a_day(home)
        assert server.mails == []
        assert not (home / "logs" / "bot" / "paper" / "alerts.log").exists()
        tested = tbot(home, "alerts", "test")  # a person may, of course
    assert tested.returncode == 0, tested.stderr
    assert "ALERTS_IN_TEST_MODE=false" in tested.stdout
    assert server.subjects == ["[TradeBot] a test message"]


@pytest.mark.slow  # its short form: test_alert_senders.py
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")  # of the server
def test_channels_that_fail_with_their_addresses_leave_no_secret_anywhere_and_are_sent_to_later(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    """Every channel fails in its own way, with secrets in every address; then the mail server comes back."""
    port = free_port()
    secrets = {name: f"zq9{name}77Kx{number}canary" for number, name in enumerate(("pass", "hook", "json", "ping"))}
    httpserver.expect_request(f"/services/{secrets['hook']}").respond_with_data("denied", status=503)
    gone = free_port()
    env = mail_settings(port, SMTP_USER="bot@example.test", SMTP_PASS=secrets["pass"])
    env += f"SLACK_WEBHOOK_URL={httpserver.url_for('/services/' + secrets['hook'])}\n"
    env += (
        f"ALERT_URLS=json://user:{secrets['json']}@127.0.0.1:{gone}/x,ping+http://127.0.0.1:{gone}/{secrets['ping']}\n"
    )
    home = write_home(tmp_path / "home", env)
    trade_a_day(home)
    tested = tbot(home, "alerts", "test")
    assert tested.returncode == 1
    listed = tbot(home, "alerts", "list")
    assert "retrying" in listed.stdout
    files = [path for path in home.rglob("*") if path.is_file() and path.name != ".env"]
    assert len(files) > 15
    contents = {str(path): path.read_bytes() for path in files}
    contents |= {name: (done.stdout + done.stderr).encode() for name, done in (("test", tested), ("list", listed))}
    assert found_in(contents, secrets.values()) == []
    with MailServer(port, login=("bot@example.test", secrets["pass"])) as server:
        again = tbot(home, "alerts", "retry", "--all")
        assert again.returncode == 0, again.stderr
        tbot(home, "alerts", "send")
    assert any(DAY.isoformat() in subject for subject in server.subjects)


def found_in(contents: dict[str, bytes], secrets: Collection[str]) -> list[tuple[str, str]]:
    """Return which secret stands where, in any form or in part."""
    return [
        (secret, name)
        for name, content in contents.items()
        for secret in secrets
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()[1:-4],
                     secret.encode().hex(), secret[:12], secret[-12:])
        if form.encode() in content
    ]  # fmt: skip

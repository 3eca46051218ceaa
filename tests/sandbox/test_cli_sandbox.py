"""`tbot sandbox` as an operator starts and stops it: a real process, real signals, real sockets."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests
from websockets.sync.client import connect

PROGRAM = [sys.executable, "-c", "from tbot_bot.runtime.cli import main; raise SystemExit(main())", "sandbox"]
FREE = ["--port-alpaca", "0", "--port-finnhub", "0", "--port-tws", "0", "--admin-port", "0"]
KEYS = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}


class Process:
    """A running `tbot sandbox --json`, with what it announced."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [*PROGRAM, "--json", *FREE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                break
        assert text, self.process.communicate()[1]
        self.told = json.loads(text)
        self.settings = self.told["settings"]

    def get(self, path, **words):
        return requests.get(self.settings["ALPACA_PAPER_URL"] + path, headers=KEYS, timeout=10, **words).json()

    def admin(self, path):
        return requests.get(f"http://127.0.0.1:{self.told['ports']['admin']}{path}", timeout=10).json()

    def end(self, number):
        """Send a signal; return the exit status and what was said on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


@pytest.fixture
def start():
    made: list[Process] = []

    def _start(*words):
        made.append(Process(*words))
        return made[-1]

    yield _start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def refused(*words):
    ended = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False, timeout=30)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_announces_where_it_serves_follows_its_clock_and_stops_when_told(start, number, status):
    one = start("--speed", "3600", "--begin", "09:29")
    assert one.told["settings"]["FINNHUB_URL"].endswith("/api/v1")
    first = one.admin("/clock")["now"]
    body = {"symbol": "SYN01", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    url = one.settings["ALPACA_PAPER_URL"] + "/v2/orders"
    order = requests.post(url, json=body, headers=KEYS, timeout=10).json()
    for _ in range(200):
        now = one.get(f"/v2/orders/{order['id']}")
        if now["status"] == "filled":
            break
    assert now["status"] == "filled"
    assert one.admin("/clock")["now"] > first
    with socket.create_connection(("127.0.0.1", one.told["ports"]["tws"]), timeout=10):
        pass
    assert one.end(number) == (status, "")


def test_it_stops_though_calls_hang_and_streams_are_open(start, tmp_path):
    plan = {"faults": [{"kind": "lost_before", "place": "GET /v2/clock", "seconds": 600}]}
    (tmp_path / "faults.json").write_text(json.dumps(plan))
    one = start("--speed", "60", "--faults", str(tmp_path / "faults.json"))
    with connect(one.settings["ALPACA_STREAM_URL"] + "/v2/iex") as stream:
        assert json.loads(stream.recv(timeout=10))[0]["msg"] == "connected"
        with pytest.raises(requests.ReadTimeout):
            requests.get(one.settings["ALPACA_PAPER_URL"] + "/v2/clock", headers=KEYS, timeout=0.3)
        begun = time.monotonic()
        assert one.end(signal.SIGTERM) == (0, "")
        assert time.monotonic() - begun < 5


def test_a_plan_of_faults_is_in_force_from_the_first_call(start, tmp_path):
    plan = {"seed": 3, "faults": [{"kind": "status", "vendor": "alpaca", "place": "GET /v2/clock", "status": 502}]}
    (tmp_path / "faults.json").write_text(json.dumps(plan))
    one = start("--speed", "hand", "--faults", str(tmp_path / "faults.json"))
    assert one.get("/v2/clock")["message"] == "injected fault"
    assert one.admin("/faults") == plan
    assert one.end(signal.SIGTERM) == (0, "")


def test_a_recorded_day_is_the_market_too(start, shared):
    file = shared / "data" / "csv" / "us_equity_1m_2018-03-09_2018-03-12.csv"
    one = start("--speed", "hand", "--data", str(file), "--day", "2018-03-12", "--begin", "10:00")
    symbols = [asset["symbol"] for asset in one.get("/v2/assets")]
    assert len(symbols) == one.told["symbols"] > 0
    snapshots = one.get("/v2/stocks/snapshots", params={"symbols": ",".join(symbols)})
    assert any("minuteBar" in shape for shape in snapshots.values())
    assert one.end(signal.SIGTERM) == (0, "")


def test_a_taken_port_is_told_with_its_number():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for name in ("--port-alpaca", "--port-tws"):
            status, errors = refused(*FREE, name, port)
            assert status == 1
            assert port in errors
            assert "Choose another port" in errors
            assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--speed", "max"], "max is for dry runs"),
        (["--begin", "noon"], "not a New York time of day"),
        (["--day", "2025-09-01"], "not a trading day"),
        (["--port-alpaca", "99999"], "65535"),
        (["--faults", "none.json"], "cannot be read"),
    ],
)
def test_words_that_cannot_be_used_are_refused(words, told):
    status, errors = refused(*FREE, *words)
    assert status in {1, 2}
    assert told in errors
    assert "Traceback" not in errors


def test_it_stands_in_for_live_accounts_only_when_asked(start):
    paper, live = start("--speed", "hand"), start("--speed", "hand", "--live-accounts")
    assert paper.settings["IBKR_PAPER_ACCOUNT_NUMBER"].startswith("D")
    assert not [name for name in paper.settings if "LIVE" in name]
    assert not live.settings["IBKR_LIVE_ACCOUNT_NUMBER"].upper().startswith("D")
    assert live.settings["ALPACA_LIVE_URL"] == live.settings["ALPACA_DATA_URL"]
    assert not [name for name in live.settings if "PAPER" in name]

"""The operator's endpoint, and what faults do to calls over real sockets."""

import json
import time
import urllib.error
import urllib.request

import pytest
import requests

from tbot_bot.core.instants import minutes
from tests.support.sandbox import SYMBOL, SandboxThread

KEYS = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}


@pytest.fixture
def sandbox():
    made = SandboxThread("alpaca", "finnhub", "admin")
    yield made
    made.close()


def admin(sandbox, path, body=None, method=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    url = sandbox.url("admin") + path
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def break_it(sandbox, kind, place="POST /v2/orders", **words):
    plan = {"seed": 1, "faults": [{"kind": kind, "vendor": "alpaca", "place": place, **words}]}
    status, in_force = admin(sandbox, "/faults", plan, "PUT")
    assert (status, in_force["faults"][0]["kind"]) == (200, kind)
    assert admin(sandbox, "/faults") == (200, in_force)


def order(sandbox, client_order_id, timeout=10.0):
    body = {"symbol": SYMBOL, "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
    body["client_order_id"] = client_order_id
    return requests.post(sandbox.url("alpaca") + "/v2/orders", json=body, headers=KEYS, timeout=timeout)


def known(sandbox):
    found = requests.get(sandbox.url("alpaca") + "/v2/orders?status=all", headers=KEYS, timeout=10)
    return [row["client_order_id"] for row in found.json()]


def test_the_truth_is_shown_with_orders_fills_positions_and_cash(sandbox):
    order(sandbox, "a")
    sandbox.wait()
    _, truth = admin(sandbox, "/truth")
    alpaca = truth["accounts"][0]
    assert alpaca["positions"][0][:2] == [SYMBOL, "10"]
    assert alpaca["orders"][0]["ticket"]["label"] == "a"
    assert alpaca["orders"][0]["phase"] == "filled"
    paid = float(alpaca["fills"][0]["price"]) * 10
    assert float(alpaca["cash"]) == pytest.approx(100_000 - paid)


def test_the_clock_can_be_stepped_and_symbols_halted(sandbox):
    status, clock = admin(sandbox, "/clock", {"advance_to": "2025-09-02T14:00:00Z"})
    assert (status, clock["now"], clock["by_hand"]) == (200, "2025-09-02T14:00:00Z", True)
    assert admin(sandbox, "/halts", {"symbol": SYMBOL}) == (200, {"halted": [SYMBOL]})
    assert admin(sandbox, "/truth")[1]["halted"] == [SYMBOL]
    assert admin(sandbox, "/halts", {"symbol": SYMBOL, "halted": False}) == (200, {"halted": []})
    assert admin(sandbox, "/")[1]["ports"] == sandbox.ports


@pytest.mark.parametrize(
    ("path", "body", "method"),
    [
        ("/clock", {"advance_to": "soon"}, "POST"),
        ("/clock", [], "POST"),
        ("/halts", {"symbol": "NONE"}, "POST"),
        ("/faults", {"faults": [{"kind": "odd"}]}, "PUT"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_reason(sandbox, path, body, method):
    status, told = admin(sandbox, path, body, method)
    assert status == 400
    assert told["error"]


def test_a_call_under_another_name_is_refused(sandbox):
    status, told = admin(sandbox, "/truth", Host="example.com")
    assert status == 403
    assert "Host" in told["error"]
    assert admin(sandbox, "/clock", Host=f"localhost:{sandbox.ports['admin']}")[0] == 200


def test_the_servers_listen_on_loopback_only(sandbox):
    names = [listener._socket.getsockname()[0] for listener in sandbox.sandbox._listeners.values()]
    assert set(names) == {"127.0.0.1"}
    assert len(names) == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_comes_before_any_effect(sandbox, status):
    break_it(sandbox, "status", status=status, times=1, seconds=7)
    answer = order(sandbox, "a")
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert known(sandbox) == []
    assert order(sandbox, "a").status_code == 200


def test_a_status_can_come_after_the_effect(sandbox):
    break_it(sandbox, "status_after", status=504, times=1)
    assert order(sandbox, "a").status_code == 504
    assert known(sandbox) == ["a"]
    assert order(sandbox, "a").json()["message"] == "client_order_id must be unique"


@pytest.mark.parametrize(("kind", "there"), [("lost_before", []), ("lost_after", ["a"])])
def test_an_answer_can_be_lost_before_or_after_the_effect(sandbox, kind, there):
    break_it(sandbox, kind, seconds=30, times=1)
    with pytest.raises(requests.Timeout):
        order(sandbox, "a", timeout=0.3)
    assert known(sandbox) == there


def test_a_connection_can_be_cut(sandbox):
    break_it(sandbox, "dropped", times=1)
    with pytest.raises(requests.ConnectionError):
        order(sandbox, "a")
    assert known(sandbox) == []


def test_a_call_can_be_late(sandbox):
    break_it(sandbox, "latency", seconds=0.4, times=1)
    begun = time.monotonic()
    assert order(sandbox, "a").status_code == 200
    assert time.monotonic() - begun >= 0.4


def test_maintenance_refuses_everything_while_it_lasts(sandbox):
    break_it(sandbox, "maintenance", place="*", since="09:36", until="09:38")
    assert order(sandbox, "a").status_code == 200
    sandbox.wait(minutes(2))
    assert order(sandbox, "b").status_code == 503
    sandbox.wait(minutes(2))
    assert known(sandbox) == ["a"]


def test_the_vendors_clock_can_be_wrong(sandbox):
    break_it(sandbox, "skewed", place="*", seconds=90)
    clock = requests.get(sandbox.url("alpaca") + "/v2/clock", headers=KEYS, timeout=10).json()
    assert clock["timestamp"].startswith("2025-09-02T09:36:30")


def test_each_fault_that_struck_is_shown_with_its_call(sandbox):
    break_it(sandbox, "status", status=500, skip=1)
    for name in ("a", "b", "c"):
        order(sandbox, name)
    _, struck = admin(sandbox, "/faults/struck")
    assert [(row["number"], row["call"], row["place"]) for row in struck] == [
        (1, 2, "POST /v2/orders"), (2, 3, "POST /v2/orders"),
    ]  # fmt: skip
    assert struck[0]["rule"]["status"] == 500

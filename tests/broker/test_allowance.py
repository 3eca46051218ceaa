"""The allowance of requests and the breaker: who waits, who goes first, and for how long."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.turns import REQUESTS_PER_MINUTE, AlpacaTurns
from tbot_bot.core.circuit import FAILURES_MAX, PAUSE_FIRST_SECONDS, PAUSE_LONGEST_SECONDS, Circuit
from tbot_bot.core.instants import seconds


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> Time:
    """Return a clock that sleeping moves."""
    made = Time()
    real_sleep = asyncio.sleep

    async def sleep(span: float) -> None:
        made.now += span
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


@pytest.fixture
def turns(time) -> AlpacaTurns:
    return AlpacaTurns(monotonic=time)


async def test_no_minute_sees_more_than_the_vendor_allows_whoever_asks(time, turns):
    taken: list[float] = []
    while time.now < 180:
        kind = len(taken) % 3
        await (turns.data if kind == 1 else turns.orders).take(urgent=kind == 2)
        taken.append(time.now)
    for begin in taken:
        assert sum(begin <= at < begin + 60 for at in taken) <= REQUESTS_PER_MINUTE
    assert len(taken) > 2.5 * REQUESTS_PER_MINUTE


async def test_data_leaves_room_for_the_accounts_own_reads_and_both_leave_some_for_orders(time, turns):
    for _ in range(110):
        await turns.data.take()
    for _ in range(70):
        await turns.orders.take()
    for _ in range(20):
        await turns.orders.take(urgent=True)
    assert time.now == 0
    await turns.data.take()
    assert time.now >= 60


async def test_orders_go_before_data_that_came_first(time, turns):
    for _ in range(REQUESTS_PER_MINUTE):
        await turns.orders.take(urgent=True)
    served = []

    async def ask(turns, kind, urgent=False):
        await turns.take(urgent=urgent)
        served.append(kind)

    await asyncio.gather(ask(turns.data, "data"), ask(turns.orders, "read"), ask(turns.orders, "order", urgent=True))
    assert served[0] == "order"


async def test_data_rests_where_the_vendor_asks_for_it_and_orders_do_not(time, turns):
    turns.data.rest(seconds(30))
    await turns.orders.take()
    await turns.orders.take(urgent=True)
    assert time.now == 0
    await turns.data.take()
    assert time.now >= 30


def broken(times: int = FAILURES_MAX) -> Circuit:
    circuit = Circuit("GET /v2/account")
    for _ in range(times):
        circuit.failed(100.0, "HTTP 503")
    return circuit


def test_a_circuit_opens_after_failures_in_a_row_and_lets_one_try():
    assert broken(FAILURES_MAX - 1).wait(100.0) == 0
    circuit = broken()
    assert circuit.wait(100.0) == pytest.approx(PAUSE_FIRST_SECONDS)
    assert circuit.wait(103.0) == 0
    assert circuit.wait(103.0) > 0
    circuit.succeeded()
    assert (circuit.wait(103.0), circuit.reading(103.0).failures) == (0, 0)


def test_an_open_circuit_can_be_read():
    reading = broken().reading(101.0)
    assert (reading.endpoint, reading.failures, reading.problem) == ("GET /v2/account", FAILURES_MAX, "HTTP 503")
    assert reading.open_seconds == pytest.approx(PAUSE_FIRST_SECONDS - 1)
    assert broken(1).reading(101.0).open_seconds == 0


@given(st.integers(FAILURES_MAX, 200))
def test_pauses_grow_and_end(failures):
    assert PAUSE_FIRST_SECONDS <= broken(failures).wait(100.0) <= PAUSE_LONGEST_SECONDS

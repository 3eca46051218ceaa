"""The allowance of requests and the breaker: who waits, who goes first, and for how long."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.circuit import FAILURES_MAX, PAUSE_FIRST_SECONDS, PAUSE_LONGEST_SECONDS, Circuit
from tbot_bot.broker.token_bucket import TokenBucket


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

    async def sleep(seconds: float) -> None:
        made.now += seconds
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


def bucket(time: Time) -> TokenBucket:
    return TokenBucket(per_minute=200, burst=60, reserve=20, monotonic=time)


async def test_no_minute_sees_more_than_the_vendor_allows(time):
    allowance, taken = bucket(time), []
    while time.now < 180:
        await allowance.take(urgent=True)
        taken.append(time.now)
    for begin in taken:
        assert sum(begin <= at < begin + 60 for at in taken) <= 200
    assert len(taken) > 3 * 140


async def test_data_leaves_a_reserve_to_orders(time):
    allowance = bucket(time)
    for _ in range(40):
        await allowance.take(urgent=False)
    assert time.now == 0
    for _ in range(20):
        await allowance.take(urgent=True)
    assert time.now == 0
    await allowance.take(urgent=False)
    assert time.now >= 21 / (140 / 60)


async def test_data_rests_where_the_vendor_asks_for_it_and_orders_do_not(time):
    allowance = bucket(time)
    allowance.hold_data(30)
    await allowance.take(urgent=True)
    assert time.now == 0
    await allowance.take(urgent=False)
    assert time.now >= 30


@pytest.mark.parametrize("numbers", [(200, 200, 20), (200, 60, 60), (0, 0, 0)])
def test_an_allowance_that_nobody_could_use_is_refused(numbers):
    per_minute, burst, reserve = numbers
    with pytest.raises(ValueError, match="no allowance"):
        TokenBucket(per_minute=per_minute, burst=burst, reserve=reserve, monotonic=Time())


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

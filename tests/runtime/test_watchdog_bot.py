"""The watchdog over brokers and data: its judgement as a law, and whole sessions over links that break."""

import asyncio
import itertools
import json
import math
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.broker_sim import Fault, Request, SimulatedBroker
from tbot_bot.core.circuit import FAILURES_MAX, Circuit
from tbot_bot.core.commands import BrokerHalted, EngageKillSwitch, RaiseAlert, SubmitOrder
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import (
    MARKET_DATA,
    AccountsRead,
    BrokerLost,
    EarlierToday,
    LinkImpaired,
    LinkRestored,
    LinkState,
    PositionAgrees,
    PositionDiffers,
)
from tbot_bot.core.identity import Leg, Mode, StrategyName
from tbot_bot.core.instants import SECOND, Duration, Instant, later, parse_iso
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Position
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.guard_book import leg_of
from tbot_bot.runtime.link_health import (
    DATA_DOWN_SECONDS,
    DATA_LATE_SECONDS,
    SAMPLES_MIN,
    Latencies,
    LinkLimits,
    LinkSigns,
    answered,
    failed,
    judge,
    judge_data,
)
from tbot_bot.runtime.reconcile import BrokerReconciler, compare_positions
from tbot_bot.runtime.runner_status import RunnerStatus
from tbot_bot.runtime.watchdog_bot import LinkBoard, LinkReading, Watchdog
from tests.runtime.test_shell import Rig, Watcher
from tests.support.rehearsal import minute_of
from tests.support.scenario import spec_of
from tests.trading.test_losses import holding

LIMITS = LinkLimits(retries=3, timeout_seconds=30.0)
NOON = Instant(parse_iso("2025-12-02T17:00:00Z"))


# --- judgement -------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), min_size=1, max_size=120), st.integers(1, 60), st.integers(1, 100))
def test_percentiles_are_those_of_the_last_latencies_exactly(latencies, window, percent):
    kept = Latencies(window)
    for latency in latencies:
        kept.add(latency)
    last = latencies[-window:]
    assert len(kept) == len(last)
    assert kept.percentile(percent) == np.percentile(last, percent, method="inverted_cdf")


def test_nothing_measured_has_no_percentile():
    assert Latencies().percentile(50) is None


def signs_after(failures, since=0.0):
    signs = LinkSigns(since=since)
    for number in range(failures):
        signs = failed(signs, since + 5.0 * (number + 1), "a reset line")
    return signs


@pytest.mark.parametrize(
    ("failures", "now", "state", "lost"),
    [
        (0, 0.0, LinkState.OK, False),
        (0, 15.1, LinkState.DEGRADED, False),
        (1, 5.0, LinkState.DEGRADED, False),
        (3, 100.0, LinkState.DEGRADED, False),  # the repetitions are not over, whatever the time
        (4, 20.0, LinkState.DOWN, False),
        (4, 35.0, LinkState.DOWN, False),
        (4, 35.1, LinkState.DOWN, True),
        (40, 201.0, LinkState.DOWN, True),
    ],
)
def test_degraded_down_and_lost(failures, now, state, lost):
    found = judge(signs_after(failures), LIMITS, now)
    assert (found.state, found.lost) == (state, lost)
    assert bool(found.reason) is (state is not LinkState.OK)


@pytest.mark.parametrize(("drift", "state"), [(2.0, LinkState.OK), (-2.0, LinkState.OK), (2.1, LinkState.DEGRADED)])
def test_a_clock_that_is_not_ours_degrades(drift, state):
    signs = answered(LinkSigns(since=0.0), 1.0, Latencies(), Duration(int(drift * SECOND)))
    assert judge(signs, LIMITS, 1.0).state is state


@pytest.mark.parametrize(
    ("latency", "count", "state"),
    [(2.0, 50, LinkState.OK), (2.1, 50, LinkState.DEGRADED), (9.0, SAMPLES_MIN - 1, LinkState.OK)],
)
def test_a_slow_broker_is_degraded_once_there_is_enough_to_say_so(latency, count, state):
    latencies = Latencies()
    for _ in range(count):
        latencies.add(latency)
    assert judge(answered(LinkSigns(since=0.0), 1.0, latencies, None), LIMITS, 1.0).state is state


def test_late_data_degrades_and_much_later_data_is_down():
    found = [
        judge_data(late).state for late in (0.0, DATA_LATE_SECONDS, DATA_LATE_SECONDS + 0.1, DATA_DOWN_SECONDS + 1)
    ]
    assert found == [LinkState.OK, LinkState.OK, LinkState.DEGRADED, LinkState.DOWN]


# --- the watchdog over any sequence of answers -----------------------------------------------------------------------


class Shell:
    """Takes events, as a session's shell does."""

    def __init__(self):
        self.at, self.taken = Instant(0), []

    async def take(self, event):
        self.at = max(self.at, event.at)
        self.taken.append(event)


class Moody:
    """A broker that answers as the script says: `ok`, `fail`, or `hang`."""

    name = "moody"

    def __init__(self, now):
        self.mood, self.now, self.skew = "ok", now, 0

    async def clock(self):
        if self.mood == "hang":
            await asyncio.Event().wait()
        if self.mood == "fail":
            raise BrokerUnavailable("a reset line")
        return Instant(self.now() + self.skew)


def dog_of(shell: Any, brokers: Any, **words: Any) -> Watchdog:
    """Return a watchdog over stand-ins."""
    return Watchdog(shell, brokers, **words)


moods = st.lists(
    st.tuples(st.sampled_from(["ok", "ok", "fail", "hang"]), st.booleans(), st.floats(0.1, 40.0)), max_size=40
)


@given(moods)
def test_whatever_the_answers_entries_resume_only_after_reconciling_and_nobody_is_ok_who_gives_none(script):
    asyncio.run(over(script))


async def over(script):
    seconds = [1000.0]
    shell, log = Shell(), []
    broker = Moody(lambda: NOON)
    reconciles = deque[bool]()

    async def reconcile(_):
        done = reconciles[0]
        log.append(("reconciled", done))
        return done

    board = LinkBoard()
    dog = dog_of(
        shell, {"moody": broker}, limits=LIMITS, reconcile=reconcile, market_now=lambda: NOON,
        seconds=lambda: seconds[0], measures=False, board=board,
    )  # fmt: skip
    tries = 0
    for number, (mood, reconcilable, passed) in enumerate(script):
        seconds[0] += passed
        broker.mood, reconciles = mood, deque([reconcilable])
        before = len(shell.taken)
        asked = dog._links["moody"].asking is None and seconds[0] >= dog._links["moody"].next_at
        log.clear()
        await look(dog, later(NOON, number))
        restored = [event for event in shell.taken[before:] if isinstance(event, LinkRestored)]
        assert len(restored) <= 1
        if restored:
            assert log == [("reconciled", True)]
        if asked and mood == "fail":
            tries += 1
            assert board.readings["moody"].state is not LinkState.OK
        if board.readings["moody"].state is LinkState.OK:
            impaired = [event for event in shell.taken if isinstance(event, LinkImpaired | LinkRestored)]
            assert not impaired or isinstance(impaired[-1], LinkRestored)
    dog.close()
    losses = [event for event in shell.taken if isinstance(event, BrokerLost)]
    for lost in losses:
        told = [event for event in shell.taken[: shell.taken.index(lost)] if isinstance(event, LinkImpaired)]
        assert told[-1].state is LinkState.DOWN
    states = [event for event in shell.taken if isinstance(event, LinkImpaired | LinkRestored)]
    changes = [getattr(event, "state", LinkState.OK) for event in states]
    assert all(one is not other for one, other in itertools.pairwise(changes)), "told twice"


async def look(dog, at, **words):
    """Look without waiting for one who hangs."""
    for link in dog._links.values():
        dog._ask(link)
    for _ in range(3):
        await asyncio.sleep(0)
    if any(link.asking is not None and not link.asking.done() for link in dog._links.values()):
        for name, link in dog._links.items():  # what `look` does after its short wait
            dog._hear(link)
            await dog._judge(name, link, at)
        dog._show()
        return
    await dog.look(at, **words)


async def test_a_broker_that_hangs_keeps_nobody_waiting_and_is_lost_in_time():
    seconds, shell = [0.0], Shell()
    broker = Moody(lambda: NOON)
    broker.mood = "hang"

    async def reconcile(_):
        return True

    dog = dog_of(
        shell, {"moody": broker}, limits=LinkLimits(retries=1, timeout_seconds=30.0), reconcile=reconcile,
        market_now=lambda: NOON, seconds=lambda: seconds[0],
    )  # fmt: skip
    began = asyncio.get_running_loop().time()
    for number in range(30):
        seconds[0] = number * 5.0
        await dog.look(later(NOON, number * 5 * SECOND))
    assert asyncio.get_running_loop().time() - began < 10.0
    dog.close()

    states = [event.state for event in shell.taken if isinstance(event, LinkImpaired)]
    assert states == [LinkState.DEGRADED, LinkState.DOWN]
    assert sum(isinstance(event, BrokerLost) for event in shell.taken) == 1


async def test_latency_drift_and_age_are_on_the_board():
    shell, board, seconds = Shell(), LinkBoard(), [0.0]
    broker = Moody(lambda: NOON)
    broker.skew = 5 * SECOND

    async def reconcile(_):
        return True

    dog = dog_of(
        shell, {"moody": broker}, limits=LIMITS, reconcile=reconcile, market_now=lambda: NOON,
        seconds=lambda: seconds[0], board=board,
    )  # fmt: skip
    await dog.look(NOON)
    found = board.readings["moody"]
    assert (found.p50, found.p99, found.silent, found.drift) == (0.0, 0.0, 0.0, 5 * SECOND)
    assert found.state is LinkState.DEGRADED
    assert "its clock is +5.0 s off ours" in found.reason
    broker.skew, seconds[0] = 0, 6.0
    await dog.look(NOON)
    assert board.readings["moody"].state is LinkState.OK
    assert [type(event) for event in shell.taken] == [LinkImpaired, LinkRestored]


async def test_a_circuit_that_opens_stops_entries_until_it_is_tried_again():
    """An adapter that leaves an endpoint alone has repeated a request in vain, though its clock still answers."""
    shell, board, seconds = Shell(), LinkBoard(), [0.0]
    circuit = Circuit("GET /v2/positions")

    class Adapter(Moody):
        def circuits(self):
            return (circuit.reading(seconds[0]),)

    async def reconcile(_):
        return True

    dog = dog_of(
        shell, {"moody": Adapter(lambda: NOON)}, limits=LIMITS, reconcile=reconcile, market_now=lambda: NOON,
        seconds=lambda: seconds[0], board=board,
    )  # fmt: skip
    await dog.look(NOON)
    for _ in range(FAILURES_MAX):
        circuit.failed(seconds[0], "HTTP 503")
    await dog.look(NOON)
    assert board.readings["moody"].state is LinkState.DEGRADED
    assert "GET /v2/positions failed 5 times in a row: HTTP 503" in board.readings["moody"].reason
    assert [one.endpoint for one in board.circuits["moody"]] == ["GET /v2/positions"]
    seconds[0] = 1.9
    await dog.look(NOON)
    assert [type(event) for event in shell.taken] == [LinkImpaired]
    seconds[0] = 6.0
    circuit.succeeded()
    await dog.look(NOON)
    assert [type(event) for event in shell.taken] == [LinkImpaired, LinkRestored]
    assert board.circuits["moody"] == ()


async def test_a_source_of_market_data_that_is_left_alone_is_shown_and_stops_nothing_by_itself():
    """Whether data are late is judged by the data: a source may have another behind it."""
    shell, seconds = Shell(), [0.0]
    circuit = Circuit("yahoo GET /v8/finance/chart")

    class Source:
        def circuits(self):
            return (circuit.reading(seconds[0]),)

    board = LinkBoard(sources=[Source()])
    dog = dog_of(
        shell, {}, limits=LIMITS, reconcile=None, market_now=lambda: NOON, seconds=lambda: seconds[0], board=board
    )
    for _ in range(FAILURES_MAX):
        circuit.failed(seconds[0], "HTTP 503")
    await dog.look(NOON)
    assert [one.problem for one in board.circuits[MARKET_DATA]] == ["HTTP 503"]
    circuit.succeeded()
    await dog.look(NOON)
    assert board.circuits[MARKET_DATA] == ()
    assert shell.taken == []


async def test_late_data_is_told_once_and_its_recovery_too():
    shell = Shell()
    dog = dog_of(shell, {}, limits=LIMITS, reconcile=None, market_now=lambda: NOON)
    for late in (0.0, 20.0, 30.0, 200.0, 0.0, 0.0):
        await dog.look(NOON, data_late=late)
    told = [(event.link, getattr(event, "state", LinkState.OK)) for event in shell.taken]
    assert told == [
        (MARKET_DATA, LinkState.DEGRADED), (MARKET_DATA, LinkState.DOWN), (MARKET_DATA, LinkState.OK),
    ]  # fmt: skip


def test_the_status_file_shows_how_each_broker_is(tmp_path):
    records = OutputPaths(home=tmp_path, mode=Mode.PAPER)
    journal: Any = SimpleNamespace(head=lambda: SimpleNamespace(seq=7), rows=lambda **_: ())
    board = LinkBoard()
    board.readings["sim"] = LinkReading(
        state=LinkState.DOWN, reason="a reset line", p50=0.1, p95=0.2, p99=0.3, silent=42.0, drift=Duration(SECOND)
    )
    status = RunnerStatus(records, spec_of(), journal, version="0", complain=pytest.fail, links=board)
    status.event(spec_of().session, EarlierToday(at=NOON, traded=(), open_trades=0, halted=(("sim", "x"),)))
    status.write("")

    assert json.loads(records.status.read_text())["brokers"] == [
        {
            "name": "sim", "connected": False, "halted": True, "latency_ms": 100.0, "latency_p95_ms": 200.0,
            "latency_p99_ms": 300.0, "state": "down", "reason": "a reset line", "heartbeat_age_seconds": 42.0,
            "clock_drift_seconds": 1.0,
        }
    ]  # fmt: skip


# --- whole sessions over links that break ----------------------------------------------------------------------------


class Outage:
    """The line is dead from minute `first` to minute `last` after the bell, for everything or for reads only."""

    def __init__(self, first, last, only=None):
        self.first, self.last, self.only = first, last, only
        self.rig: Any = None
        self.refused = 0

    def of_request(self, request, _):
        dead = self.first <= minute_of(self.rig.shell.at) < self.last and (self.only is None or request is self.only)
        self.refused += dead
        return Fault.LOST_BEFORE if dead else Fault.NONE

    def of_events(self, events):
        return events


def session(tmp_path, outage, **settings):
    seen = SimpleNamespace(events=[], outputs=[])

    class Look(Watcher):
        def event(self, _, event):
            seen.events.append(event)

        def decided(self, _, decided):
            seen.outputs += [(decided.at, output) for output in decided.outputs]

    rig = Rig(tmp_path, StrategyName.OPEN, observer=Look(), faults=outage, **settings)
    outage.rig = rig
    rig.run()
    seen.rig = rig
    return seen


def of(seen, kind):
    return [event for event in seen.events if isinstance(event, kind)]


def decided(seen, kind):
    return [output for _, output in seen.outputs if isinstance(output, kind)]


def entries(seen):
    return [
        (minute_of(at), output.order)
        for at, output in seen.outputs
        if isinstance(output, SubmitOrder) and leg_of(output.order.client_order_id) is Leg.ENTRY
    ]


def test_without_faults_nothing_is_found(tmp_path):
    seen = session(tmp_path, Outage(0, 0))
    seen.rig.check()
    assert of(seen, LinkImpaired) == of(seen, PositionDiffers) == []
    assert entries(seen)


def test_a_short_outage_stops_entries_until_it_has_been_reconciled_and_halts_nobody(tmp_path):
    whole = session(tmp_path / "whole", Outage(0, 0))
    first = min(at for at, _ in entries(whole))
    seen = session(tmp_path / "broken", Outage(first - 2, first + 1, only=Request.READ))
    seen.rig.check()
    (impaired, *_), (restored,) = of(seen, LinkImpaired), of(seen, LinkRestored)

    assert impaired.at < restored.at
    dark = (minute_of(impaired.at), minute_of(restored.at))
    assert not [at for at, _ in entries(seen) if dark[0] <= at < dark[1]]
    assert decided(seen, BrokerHalted) == []
    titles = [alert.title for alert in decided(seen, RaiseAlert)]
    assert any("is degraded" in title for title in titles)
    assert any("is restored" in title for title in titles)


def test_a_broker_that_stays_away_is_halted_its_positions_left_when_it_answers_and_all_lost_is_a_kill(tmp_path):
    whole = session(tmp_path / "whole", Outage(0, 0))
    first = min(at for at, _ in entries(whole))
    seen = session(tmp_path / "broken", Outage(first + 2, first + 14))
    seen.rig.check()  # flat, books equal, replay identical
    (lost,) = of(seen, BrokerLost)
    (halted,) = decided(seen, BrokerHalted)

    assert minute_of(lost.at) - (first + 2) == 3  # four tries, a minute apart: for more than 30 s
    assert (halted.code, halted.broker) == ("watchdog", lost.broker)
    assert "4 tries without an answer" in halted.reason
    assert len(decided(seen, EngageKillSwitch)) == 1  # the only broker
    assert len(of(seen, LinkRestored)) == 1
    assert not [at for at, _ in entries(seen) if at >= minute_of(lost.at)]


def test_a_broker_that_is_away_at_the_opening_trades_once_its_account_has_been_read(tmp_path):
    seen = session(tmp_path, Outage(-math.inf, 3))
    seen.rig.check()
    accounts = of(seen, AccountsRead)

    assert [len(read.accounts) for read in accounts] == [0, 1]
    assert len(of(seen, LinkRestored)) == 1
    assert min(minute_of(event.at) for event in of(seen, LinkRestored)) >= 3


def test_a_quantity_that_differs_halts_its_symbol_and_is_not_traded_away(tmp_path, monkeypatch):
    """The venue shows less than we hold, for some minutes after it came back."""
    whole = session(tmp_path / "whole", Outage(0, 0))
    first = min(at for at, _ in entries(whole))
    outage = Outage(first + 2, first + 4, only=Request.READ)
    real = SimulatedBroker.positions

    async def less(broker):
        told = await real(broker)
        return () if minute_of(outage.rig.shell.at) >= first + 4 else told

    monkeypatch.setattr(SimulatedBroker, "positions", less)
    seen = session(tmp_path / "broken", outage)
    differs = of(seen, PositionDiffers)

    assert differs
    assert all(event.found == 0 and event.expected != 0 for event in differs)
    frozen = {event.symbol for event in differs}
    after = [
        output.order for at, output in seen.outputs
        if isinstance(output, SubmitOrder) and at > differs[0].at and output.order.instrument.symbol in frozen
    ]  # fmt: skip
    assert after == []
    assert {title for alert in decided(seen, RaiseAlert) if "differs at" in (title := alert.title)} == {
        f"{event.symbol} differs at {event.broker}: halted" for event in differs
    }


def test_an_agreement_ends_the_halt():
    told = holding()
    state = told.engine.state
    trade = next(iter(state.active_trades()))
    held = state.held(trade)
    price = told.orders("entry")[0].limit_price

    def there(quantity):
        return [Position(broker="one", instrument=equity("AAA"), quantity=quantity, average_price=price)]

    assert compare_positions(state, "one", there(held)) == []
    (differs,) = compare_positions(state, "one", there(held - 1))
    told.tell(differs)
    assert compare_positions(state, "one", there(held - 1)) == []  # told once
    (agrees,) = compare_positions(state, "one", there(held))
    assert isinstance(agrees, PositionAgrees)
    told.tell(agrees)
    assert state.differing == {}


async def test_reconciling_is_not_done_while_the_broker_gives_no_answer():
    class Dead:
        async def fills_since(self, _):
            raise BrokerUnavailable("still away")

    spec = SimpleNamespace(windows=SimpleNamespace(bell=NOON))
    state = SimpleNamespace(accounts={"one": None}, verdicts={}, orders={}, spec=spec, at=NOON)
    shell: Any = SimpleNamespace(engine=SimpleNamespace(state=state), doubted={}, at=NOON)

    async def settle():
        pytest.fail("not that far")

    brokers: Any = {"one": Dead()}
    assert not await BrokerReconciler(shell, brokers, settle).reconcile("one")


def test_the_pause_between_questions_fits_the_patience():
    assert LinkLimits().pause_seconds == 5.0
    assert LinkLimits(timeout_seconds=1.0).pause_seconds == pytest.approx(0.2)
    assert math.isclose(LinkLimits(timeout_seconds=12.0).pause_seconds, 2.0)

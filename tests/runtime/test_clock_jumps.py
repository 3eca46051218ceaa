"""Jumps of the machine's clock: judged, journaled, and survived by a session."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.core.commands import SignalDropped, SubmitOrder, TradeRecord
from tbot_bot.core.events import BarsClosed, EntriesResumed, EntriesSuspended
from tbot_bot.core.instants import MINUTE, SECOND, Duration, Instant
from tbot_bot.runtime.clock_watch import NOTICED_FROM, ClockWatch, Reading, jumped, read_both
from tests.support.crafted_day import breakout_up, flat, write_day
from tests.support.jumping_machine import JumpRig, Machine, PowerCut, at

BREAKOUT_MINUTE = 21  # the bar that ends here leaves the range


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_day(tmp_path_factory.mktemp("data") / "bars.csv")


@pytest.fixture
def session_with(tmp_path, data, monkeypatch):
    """Run OPEN with the clock jumping, from a minute before it screens; (minute after the bell, seconds)."""

    def run(*jumps, start=-6.0, **given_settings):
        Machine(at(start), [(at(minute), by) for minute, by in jumps]).put_under(monkeypatch)
        return JumpRig(tmp_path / "home", data, **given_settings).run()

    return run


def bars_told(rig):
    """Return the end of every bar of AAA in the order of telling, with whether it came late."""
    return [(bar.end, event.backfill) for event in rig.inputs(BarsClosed) for bar in event.bars if bar.symbol == "AAA"]


def entries(rig):
    """Return the entry orders with the input that each one answers."""
    return [
        (output.order, cause)
        for output, cause in rig.orders
        if isinstance(output, SubmitOrder) and "-entry" in output.order.client_order_id
    ]


# --- the judgement ----------------------------------------------------------------------------------------------------

spans = st.integers(0, 10**6).map(lambda count: Duration(count * SECOND // 1000))
shifts = st.integers(-(10**5), 10**5).map(lambda count: Duration(count * SECOND // 1000))


@given(passed=spans, shift=shifts)
def test_a_jump_is_what_the_wall_clock_moved_beyond_the_time_that_passed(passed, shift):
    before = Reading(wall=Instant(10**18), monotonic=Duration(7))
    now = Reading(wall=Instant(10**18 + passed + shift), monotonic=Duration(7 + passed))
    jump = jumped(before, now)
    if abs(shift) < NOTICED_FROM:
        assert jump is None
    else:
        assert jump is not None
        assert jump.by == shift
        assert ("forward" in str(jump)) is (shift > 0)
        assert f"{abs(shift) / SECOND:.1f} s" in str(jump)


@given(steps=st.lists(st.tuples(spans, shifts), max_size=30))
def test_the_jumps_that_a_watch_tells_add_up_to_what_the_clock_moved(steps):
    reading = Reading(wall=Instant(10**18), monotonic=Duration(0))
    readings = [reading]
    watch = ClockWatch(lambda: readings[-1])
    told = 0
    for passed, shift in steps:
        last = readings[-1]
        readings.append(
            replace(last, wall=Instant(last.wall + passed + shift), monotonic=Duration(last.monotonic + passed))
        )
        jump = watch.look()
        told += 0 if jump is None else jump.by
        assert watch.look() is None, "a jump is told once"
    assert abs(sum(shift for _, shift in steps) - told) < NOTICED_FROM  # small ones are not lost, they add up


def test_a_process_that_was_interrupted_between_two_readings_saw_no_jump():
    clocks = iter([0, 9 * SECOND, 9 * SECOND + 1000, 9 * SECOND + 2000])  # interrupted for nine seconds, then not
    reading = read_both(wall=lambda: Instant(10**18), monotonic=lambda: Duration(next(clocks)))
    assert reading.monotonic >= 9 * SECOND


def test_the_two_clocks_of_this_machine_agree_while_nobody_sets_them():
    watch = ClockWatch()
    assert [watch.look() for _ in range(1000)] == [None] * 1000


# --- a session --------------------------------------------------------------------------------------------------------


def test_without_a_jump_the_breakout_is_traded(session_with):
    rig = session_with().sound()
    assert len(entries(rig)) == 1
    assert rig.noticed == []
    assert not any(late for _, late in bars_told(rig))


def test_what_a_suspended_machine_missed_is_told_late_and_opens_nothing(session_with):
    rig = session_with((15.5, 10 * 60)).sound()
    (suspended,), (resumed,) = rig.inputs(EntriesSuspended), rig.inputs(EntriesResumed)
    assert "jumped forward by 600.0 s" in suspended.reason
    assert (suspended.at, resumed.at // MINUTE) == (at(15), at(25.5) // MINUTE)
    assert [jump.by for jump in rig.noticed] == [600 * SECOND]
    late = [end for end, is_late in bars_told(rig) if is_late]
    assert late == [at(minute) for minute in range(16, 26)]
    assert entries(rig) == []
    assert [drop.code for drop in rig.outputs(SignalDropped)] == ["late"]


@pytest.mark.parametrize("jump", [(5.5, 13 * 60), (18.5, -5 * 60), (20.5, 4)])
def test_a_breakout_after_the_jump_is_traded(session_with, jump):
    rig = session_with(jump).sound()
    assert len(entries(rig)) == 1
    assert [end for end, _ in bars_told(rig)][:40] == [at(minute) for minute in range(1, 41)]


def test_a_clock_that_was_set_back_stops_entries_until_it_is_where_it_was(session_with):
    rig = session_with((18.5, -5 * 60)).sound()
    (suspended,), (resumed,) = rig.inputs(EntriesSuspended), rig.inputs(EntriesResumed)
    assert "jumped backward by 300.0 s" in suspended.reason
    assert suspended.at == at(18)
    assert at(18) <= resumed.at < at(18) + SECOND
    assert not any(late for _, late in bars_told(rig))


def test_a_step_of_a_few_seconds_is_noticed_and_stops_nothing(session_with):
    rig = session_with((10.5, 4), (12.5, -4)).sound()
    assert [jump.by for jump in rig.noticed] == [4 * SECOND, -4 * SECOND]
    assert rig.inputs(EntriesSuspended) == []


def test_a_position_is_left_after_a_suspend_beyond_the_hard_exit(session_with):
    rig = session_with((30.5, 5 * 3600 + 58 * 60)).sound()
    (trade,) = rig.outputs(TradeRecord)
    assert len(entries(rig)) == 1
    assert trade.exit_reason in {"hard_exit", "time"}


def test_a_late_start_is_told_what_it_missed_and_trades_what_comes(session_with):
    rig = session_with(start=15.6).sound()
    told = bars_told(rig)
    assert [end for end, _ in told][:30] == [at(minute) for minute in range(1, 31)]  # none is lost in between
    assert [end for end, late in told if late] == [at(minute) for minute in range(1, 16)]
    assert len(entries(rig)) == 1


def test_a_late_start_after_the_breakout_opens_nothing(session_with):
    rig = session_with(start=25.6).sound()
    assert entries(rig) == []
    assert [drop.code for drop in rig.outputs(SignalDropped)] == ["late"]


def test_a_process_that_dies_over_a_jump_takes_entries_up_again(tmp_path, data, monkeypatch):
    machine = Machine(at(-6), [(at(12.5), 120)]).put_under(monkeypatch)
    rig = JumpRig(tmp_path / "home", data)
    rig.dies_at = lambda event: isinstance(event, BarsClosed) and bool(rig.inputs(EntriesSuspended))
    with pytest.raises(PowerCut):
        rig.run()
    rig.dies_at, rig.seen = lambda _: False, []
    machine.pass_time(90 * SECOND)
    rig.run().sound()
    assert rig.inputs(EntriesSuspended)  # replayed from the journal
    assert rig.inputs(EntriesResumed)
    assert rig.shell.engine.state.suspended == ""
    assert len(entries(rig)) == 1


jump_lists = st.lists(
    st.tuples(
        st.floats(-5.5, 100).map(lambda minute: round(minute, 2)),
        st.integers(-900, 2400) | st.integers(-8, 8) | st.integers(10_000, 30_000),
    ),
    max_size=4,
)


@settings(max_examples=15)
@given(jumps=jump_lists, start=st.sampled_from([-6.0, -6.0, 3.3, 17.0]), turn=st.integers(10, 55))
def test_over_any_jumps_each_bar_is_told_once_in_order_and_only_fresh_ones_open_positions(
    tmp_path_factory, jumps, start, turn
):
    folder = tmp_path_factory.mktemp("jumps")
    up = breakout_up(390)
    symbols = {"AAA": up, "BBB": [*flat(20.0, turn), (20.0, 20.9, 19.9, 20.8), *flat(20.8, 389 - turn, width=0.05)]}
    with pytest.MonkeyPatch.context() as patch:
        Machine(at(start), [(at(minute), by) for minute, by in jumps]).put_under(patch)
        rig = JumpRig(folder, write_day(folder / "bars.csv", symbols)).run().sound()
    told = [end for end, _ in bars_told(rig)]
    assert told == sorted(set(told))
    assert told == [at(minute) for minute in range(1, len(told) + 1)]
    assert len(rig.inputs(EntriesSuspended)) >= len(rig.inputs(EntriesResumed))
    for _, cause in entries(rig):
        assert isinstance(cause, BarsClosed)
        assert not cause.backfill

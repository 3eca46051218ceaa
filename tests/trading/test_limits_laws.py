"""No limit of the risk part is passed at any instant, whatever signals, fills, prices, halts and restarts there are."""

from collections import Counter
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.adversary import Adversary
from tests.support.limits_judge import live, spec_for
from tests.support.scenario import STARTS

SEEDS = st.integers(0, 10**9)


@settings(max_examples=120)
@given(SEEDS)
def test_no_limit_is_passed_at_any_instant(seed):
    day, _ = live(seed)

    assert day.engine.state.ended
    assert set(day.positions.values()) <= {Decimal(0)}


@settings(max_examples=60)
@given(SEEDS)
def test_a_loss_at_the_limit_never_goes_unnoticed(seed):
    """Whenever the venue's own books say at a mark that a limit is reached, the broker is out by the answer to it."""
    day = Adversary(spec_for(seed), seed)
    start = STARTS[day.spec.strategy]
    names = [broker.name for broker in day.spec.brokers]
    first = {name: day.equity(name) for name in names}
    limit = day.spec.limits.daily_loss_limit
    for number in range(start, start + 60):
        day.step(number, jumps=0.03)
        day.deliver(everything=True)
        day.mark()
        state = day.engine.state
        open_at = {trade.broker for trade in state.active_trades()}
        for name in names:
            if name in open_at and first[name] - day.equity(name) >= limit * first[name]:
                assert name in state.halted
        if open_at >= set(names) and sum(first[name] - day.equity(name) for name in names) >= limit * sum(
            first.values()
        ):
            assert state.killed


def test_the_days_reach_what_the_laws_are_about():
    seen: Counter[str] = Counter()
    for seed in range(60):
        seen.update(live(seed)[1].seen)

    assert min(seen[what] for what in ("entries", "halted", "killed", "restarts")) >= 10

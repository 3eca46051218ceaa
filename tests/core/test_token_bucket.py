"""The laws of an allowance: never too much in any window, orders first, nobody starves, no harm by a clock set back."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.instants import SECOND, Duration, Instant
from tbot_bot.core.token_bucket import ALPACA_DATA, FINNHUB, Limit, TokenBucket, wait_for

START = 1_700_000_000 * SECOND


@st.composite
def limit_sets(draw):
    """Return one or two limits, the shorter one the tighter."""
    count = draw(st.integers(2, 8))
    limits = [Limit(count=count, span=Duration(draw(st.integers(10, 60))), for_orders=draw(st.integers(0, count - 1)))]
    if draw(st.booleans()):
        limits.append(Limit(count=draw(st.integers(1, count)), span=Duration(draw(st.integers(1, 9)))))
    return tuple(limits)


arrivals = st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=60)


def busiest(moments, span):
    """Return how many of `moments` lie in the busiest window [t, t + span)."""
    window: deque[int] = deque()
    most = 0
    for at in sorted(moments):
        window.append(at)
        while window[0] <= at - span:
            window.popleft()
        most = max(most, len(window))
    return most


@given(limits=limit_sets(), calls=arrivals)
def test_no_window_of_any_span_ever_sees_more_than_its_limit(limits, calls):
    bucket, now, granted = TokenBucket(limits), START, []
    for pause, urgent in calls:
        now += pause
        if not bucket.take(Instant(now), urgent=urgent):
            granted.append((now, urgent))
    for limit in limits:
        assert busiest([at for at, _ in granted], limit.span) <= limit.count
        assert busiest([at for at, urgent in granted if not urgent], limit.span) <= limit.count - limit.for_orders


@given(limits=limit_sets(), calls=arrivals, urgent=st.booleans())
def test_who_waits_as_long_as_told_is_served_then_and_not_a_moment_sooner(limits, calls, urgent):
    bucket, now = TokenBucket(limits), START
    for pause, kind in calls:
        now += pause
        bucket.take(Instant(now), urgent=kind)
    wait = bucket.take(Instant(now), urgent=urgent)
    if wait:
        assert wait <= max(limit.span for limit in limits)
        assert bucket.take(Instant(now + wait - 1), urgent=urgent) == 1
        assert bucket.take(Instant(now + wait), urgent=urgent) == 0


@given(limits=limit_sets(), calls=st.lists(st.integers(0, 15), max_size=60))
def test_data_alone_never_keeps_an_order_waiting_that_has_a_reserve(limits, calls):
    bucket, now = TokenBucket(limits), START
    for pause in calls:
        now += pause
        bucket.take(Instant(now), urgent=False)
    reserves = [limit for limit in limits if limit.for_orders]
    if len(reserves) == len(limits):
        assert bucket.take(Instant(now), urgent=True) == 0


@given(limits=limit_sets(), data=st.data())
def test_data_is_served_within_a_window_as_long_as_orders_leave_it_room(limits, data):
    longest = max(limit.span for limit in limits)
    room = min(limit.count - limit.for_orders for limit in limits)
    gap = longest // room + 1  # orders at this pace take less than data's share of any window
    bucket, granted = TokenBucket(limits), False
    for step in range(2 * longest + 2):
        if data.draw(st.booleans()) and step % gap == 0 and room > 1:
            bucket.take(Instant(START + step), urgent=True)
        granted = granted or not bucket.take(Instant(START + step), urgent=False)
    assert granted


@given(limits=limit_sets(), calls=arrivals, back=st.integers(1, 10**15))
def test_a_clock_that_is_set_back_costs_a_window_or_the_rest_at_most(limits, calls, back):
    bucket, now = TokenBucket(limits), START
    for pause, urgent in calls:
        now += pause
        bucket.take(Instant(now), urgent=urgent)
    bucket.rest(Instant(now), Instant(now + 5))
    assert bucket.take(Instant(now - back), urgent=False) <= max(*(limit.span for limit in limits), 5)


def test_a_rest_holds_data_and_lets_orders_go():
    bucket = TokenBucket(ALPACA_DATA)
    bucket.rest(Instant(START), Instant(START + 7))
    assert bucket.take(Instant(START), urgent=False) == 7
    assert bucket.take(Instant(START), urgent=True) == 0
    assert bucket.take(Instant(START + 7), urgent=False) == 0


def test_finnhub_gets_sixty_calls_a_minute_and_thirty_a_second():
    now = Instant(START)
    granted: list[Instant] = []
    while len(granted) < 120:
        now = Instant(now + wait_for(FINNHUB, granted[-60:], now, urgent=False))
        granted.append(now)
    assert busiest(granted, 60 * SECOND) == 60
    assert busiest(granted, SECOND) == 30
    assert granted[-1] - START < 63 * SECOND


@pytest.mark.parametrize(("count", "span", "for_orders"), [(0, 1, 0), (1, 0, 0), (2, 1, 2), (2, 1, -1)])
def test_a_limit_that_lets_nobody_through_is_refused(count, span, for_orders):
    with pytest.raises(ValueError, match="no allowance"):
        Limit(count=count, span=Duration(span), for_orders=for_orders)

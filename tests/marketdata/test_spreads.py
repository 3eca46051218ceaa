"""The spread of a share out of its bars: what the estimator's authors get, what a known bounce gives, what is possible.

The first figures are those of `edge` in the authors' package bidask 2.1.0 (Python) on the same bars.
"""

import random
from datetime import datetime
from decimal import Decimal
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.bars import Bar
from tbot_bot.marketdata.spreads import BARS, relative_spread, spread_of

CALM = [
    (40.02, 40.02, 39.97, 39.97), (39.95, 39.96, 39.93, 39.93), (39.93, 39.94, 39.87, 39.87),
    (39.88, 39.9, 39.81, 39.83), (39.83, 39.87, 39.83, 39.87),
]  # fmt: skip
THIN = [
    (40.72, 40.72, 40.72, 40.72), (40.72, 40.72, 38.87, 38.87), (40.09, 40.09, 40.09, 40.09),
    (38.89, 38.89, 38.69, 38.69), (38.61, 38.61, 38.61, 38.61),
]  # fmt: skip
MIXED = [
    (39.86, 40.28, 39.77, 40.1), (40.02, 40.02, 39.79, 39.79), (39.7, 39.7, 39.61, 39.61), (39.74, 39.88, 39.46, 39.73),
    (39.7, 39.73, 39.53, 39.53), (39.66, 39.76, 39.66, 39.67), (39.81, 39.91, 39.73, 39.91),
    (39.95, 39.95, 39.78, 39.78), (39.97, 40.02, 39.54, 39.66), (39.61, 39.85, 39.54, 39.66),
    (39.76, 39.76, 39.76, 39.76), (39.72, 39.72, 39.72, 39.72), (39.58, 39.71, 39.38, 39.38),
    (39.38, 39.38, 39.38, 39.38), (39.37, 39.45, 39.13, 39.16), (39.09, 39.09, 39.09, 39.09),
    (39.22, 39.56, 39.09, 39.39), (39.21, 39.21, 39.21, 39.21), (39.07, 39.07, 39.07, 39.07),
    (39.15, 39.15, 38.9, 38.98),
]  # fmt: skip


def bars(rows):
    return [Bar("XYZ", number, number + 1, o, h, low, c, 1000.0) for number, (o, h, low, c) in enumerate(rows)]


def bouncing(seed, count, spread, noise=0.0004, trades=15, price=40.0):
    """Return bars of trades at bid or ask by chance, round a price that wanders."""
    dice = random.Random(seed)
    rows = []
    for _ in range(count):
        made = []
        for _ in range(trades):
            price *= 1 + dice.gauss(0, noise)
            made.append(price + dice.choice((-0.5, 0.5)) * spread)
        rows.append((made[0], max(made), min(made), made[-1]))
    return bars(rows)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(CALM, 0.00036908113508797493), (THIN, 0.038758621528857624), (MIXED, 0.003143064821092318)],
)
def test_it_is_what_its_authors_compute(rows, expected):
    assert relative_spread(bars(rows)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("spread", [0.02, 0.08, 0.40])
def test_a_known_bounce_is_found(spread):
    found = [float(spread_of(bouncing(seed, 390, spread)[-BARS:])) for seed in range(25)]
    assert sum(found) / len(found) == pytest.approx(spread, rel=0.15)


def test_too_few_bars_and_bars_that_stand_still_cost_a_tick():
    assert [spread_of(bars(CALM[:count])) for count in range(3)] == [Decimal("0.01")] * 3
    assert spread_of(bars([(40, 40, 40, 40)] * 30)) == Decimal("0.01")
    assert spread_of(bars([(0.5, 0.5, 0.5, 0.5)] * 30)) == Decimal("0.0001")
    assert relative_spread(bars([(40, 40, 40, 40)] * 30)) is None


def test_only_the_last_bars_count():
    late = bouncing(3, BARS, 0.05)
    assert spread_of([*bouncing(4, 100, 1.0), *late]) == spread_of(late)


@given(seed=st.integers(0, 2**20), count=st.integers(1, 90), spread=st.floats(0, 2), trades=st.integers(1, 6))
def test_it_stays_within_what_is_possible(seed, count, spread, trades):
    made = bouncing(seed, count, spread, trades=trades)
    found, last = spread_of(made), made[-BARS:]
    widest = sum(bar.high - bar.low for bar in last) / len(last)
    assert Decimal("0.01") <= found <= max(Decimal("0.01"), Decimal(repr(widest)) + Decimal("0.0001"))


@pytest.mark.parametrize(("symbol", "day"), [("IBM", "2013-10-08"), ("BAC", "2013-10-07"), ("AAPL", "2014-06-06")])
def test_recorded_quotes_are_met(shared, symbol, day):
    """The middle estimate of a day is near the middle of the spreads that were quoted in it (1 cent to 10)."""
    folder = shared / "data" / "licensed"
    opens, closes = (f"{day}T{time}:00Z" for time in ("13:30", "20:00"))
    inside = (pc.field("symbol") == symbol) & (pc.field("ts") >= moment(opens)) & (pc.field("ts") < moment(closes))
    quoted = pq.read_table(folder / "us_equity_quotes_1m_lean.parquet", filters=inside)
    rows = pq.read_table(folder / "us_equity_1m_lean.parquet", filters=inside)
    made = bars(zip(*(rows.column(name).to_pylist() for name in ("open", "high", "low", "close")), strict=True))
    assert len(made) > 380
    asked = median(ask - bid for bid, ask in zip(quoted["bid"].to_pylist(), quoted["ask"].to_pylist(), strict=True))
    found = median(float(spread_of(made[:count])) for count in range(5, len(made), 10))
    assert 0.6 * asked < found < 1.6 * asked


def moment(text):
    return pa.scalar(datetime.fromisoformat(text), pa.timestamp("us", tz="UTC"))

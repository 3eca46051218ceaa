"""How much of a found result is due to the searching: deflated Sharpe ratio and probability of backtest overfitting.

Sources: Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012: probabilistic Sharpe ratio, minimum
track record length) and "The Deflated Sharpe Ratio" (2014); Bailey, Borwein, Lopez de Prado and Zhu, "The Probability
of Backtest Overfitting" (2017: combinatorially symmetric cross-validation). Sharpe ratios are of one period (a day),
never annualised; kurtosis is 3 for a normal distribution.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tbot_bot.backtest.performance_metrics import deviation, mean, sharpe_a_day

BLOCKS: Final = 16
"""Into how many pieces the days are cut: 12,870 ways to halve them."""
_EULER: Final = 0.57721566490153286
_NORMAL: Final = NormalDist()
_AT_ONCE: Final = 4_000_000
"""Numbers held for one batch of halvings."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """What cross-validation says of choosing the best of many parameter sets."""

    probability: float
    """How often the best in one half of the days is below the median in the other half."""
    loss: float
    """How often the best in one half has a Sharpe ratio below 0 in the other."""
    slope: float
    """Of the chosen one's Sharpe ratio in the other half over that in its own: negative where better means worse."""
    intercept: float
    halvings: int
    logits: tuple[float, ...]
    """Of the chosen one's rank in the other half, one for each halving; 0 is the median."""
    inside: tuple[float, ...]
    """The chosen one's Sharpe ratio in its own half, one for each halving."""
    outside: tuple[float, ...]
    """The same in the other half."""


def moments(values: Sequence[float]) -> tuple[float, float]:
    """Return skewness and kurtosis of the sample as a population; (0, 3) where nothing varies."""
    middle = mean(values)
    if middle is None or not deviation(values):
        return 0.0, 3.0
    second, third, fourth = (
        math.fsum((value - middle) ** power for value in values) / len(values) for power in (2, 3, 4)
    )
    return third / second**1.5, fourth / second**2


def probabilistic_sharpe(
    sharpe: float, benchmark: float, observations: int, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return how probable it is that the true Sharpe ratio is above `benchmark`."""
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(observations - 1) / math.sqrt(spread))


def minimum_track_record(
    sharpe: float, benchmark: float, confidence: float, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return how many observations it takes to believe, with `confidence`, that the ratio is above `benchmark`."""
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    return 1.0 + spread * (_NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Return the Sharpe ratio to expect of the best of `trials` without any skill; `variance` is that of theirs."""
    if trials < 2:  # noqa: PLR2004 - nothing was chosen
        return 0.0
    high = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    higher = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER) * high + _EULER * higher)


def deflated_sharpe(
    sharpe: float, observations: int, skewness: float, kurtosis: float, *, trials: int, variance: float
) -> float:
    """Return how probable it is that a Sharpe ratio chosen out of `trials` is more than the luck of choosing."""
    return probabilistic_sharpe(sharpe, expected_best_sharpe(trials, variance), observations, skewness, kurtosis)


def deflated_sharpe_of(returns: Sequence[float], sharpes: Sequence[float]) -> float | None:
    """Return the deflated Sharpe ratio of daily `returns`, found as the best of trials with daily `sharpes`."""
    own, spread = sharpe_a_day(returns), deviation(sharpes)
    if own is None:
        return None
    skewness, kurtosis = moments(returns)
    return deflated_sharpe(own, len(returns), skewness, kurtosis, trials=len(sharpes), variance=(spread or 0.0) ** 2)


def overfitting(returns: Floats, blocks: int = BLOCKS) -> Overfitting:
    """Cross-validate the choice among the columns of `returns`, days x parameter sets.

    Days at the beginning that do not fill the blocks are left out. A set without any trade has a Sharpe ratio of 0.

    Raises:
        ValueError: fewer than two sets, an odd number of blocks, or blocks of fewer than two days.
    """
    days, sets = returns.shape
    size = days // blocks
    if sets < 2 or blocks % 2 or blocks < 2 or size < 2:  # noqa: PLR2004 - the least there must be
        msg = f"{days} days of {sets} sets cannot be halved in {blocks} blocks: each takes two days, and two sets"
        raise ValueError(msg)
    pieces = returns[days - size * blocks :].reshape(blocks, size, sets)
    sums, squares = pieces.sum(axis=1), np.square(pieces).sum(axis=1)
    length = size * blocks // 2
    own: list[Floats] = []
    other: list[Floats] = []
    ranks: list[Floats] = []
    for halves in _batches(blocks, max(1, _AT_ONCE // sets)):
        inside = _sharpes(halves @ sums, halves @ squares, length)
        outside = _sharpes((1.0 - halves) @ sums, (1.0 - halves) @ squares, length)
        rows, best = np.arange(len(halves)), inside.argmax(axis=1)
        chosen = outside[rows, best]
        below = (outside < chosen[:, None]).sum(axis=1)
        ties = (outside == chosen[:, None]).sum(axis=1)
        ranks.append(below + (ties + 1) / 2)
        own.append(inside[rows, best])
        other.append(chosen)
    rank, inside, outside = np.concatenate(ranks), np.concatenate(own), np.concatenate(other)
    share = rank / (sets + 1)
    logits = np.log(share / (1.0 - share))
    varies = float(inside.var())
    slope = float(((inside - inside.mean()) * (outside - outside.mean())).mean()) / varies if varies else 0.0
    return Overfitting(
        probability=float((logits <= 0).mean()),
        loss=float((outside < 0).mean()),
        slope=slope,
        intercept=float(outside.mean()) - slope * float(inside.mean()),
        halvings=len(logits),
        logits=tuple(logits.tolist()),
        inside=tuple(inside.tolist()),
        outside=tuple(outside.tolist()),
    )


def _batches(blocks: int, rows: int) -> Iterator[Floats]:
    """Yield every half of the blocks as rows of ones and zeros."""
    choices = combinations(range(blocks), blocks // 2)
    while chosen := list(islice(choices, rows)):
        halves = np.zeros((len(chosen), blocks))
        halves[np.arange(len(chosen))[:, None], np.array(chosen)] = 1.0
        yield halves


def _sharpes(sums: Floats, squares: Floats, count: int) -> Floats:
    middle = sums / count
    variance = np.maximum(squares - sums * middle, 0.0) / (count - 1)
    return np.divide(middle, np.sqrt(variance), out=np.zeros_like(middle), where=variance > 0)


__all__ = [
    "BLOCKS", "Overfitting", "deflated_sharpe", "deflated_sharpe_of", "expected_best_sharpe", "minimum_track_record",
    "moments", "overfitting", "probabilistic_sharpe",
]  # fmt: skip

"""What searching is worth: the worked examples of the papers, and of the R package that follows them."""

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest

from tbot_bot.backtest.overfitting import (
    deflated_sharpe,
    deflated_sharpe_of,
    expected_best_sharpe,
    minimum_track_record,
    moments,
    overfitting,
    probabilistic_sharpe,
)


def normals_of_r(seed, count):
    """Return what `set.seed(seed); rnorm(count)` gives in R: Mersenne Twister, normal numbers by inversion."""
    words, state = [], seed
    for number in range(50 + 625):
        state = (69069 * state + 1) % 2**32
        if number >= 50:
            words.append(state)
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": np.array(words[1:], np.uint32), "pos": 624}}
    even = np.asarray(twister.random_raw(2 * count), float) * 2.3283064365386963e-10
    big = 134217728
    normal = NormalDist()
    return np.array([normal.inv_cdf(one) for one in (np.floor(big * even[::2]) + even[1::2]) / big])


def test_the_example_of_the_deflated_sharpe_ratio():
    """Bailey and Lopez de Prado (2014): ratio 2.5 a year out of 100 trials, five years of daily returns."""
    daily = 2.5 / math.sqrt(250)
    assert round(expected_best_sharpe(100, 0.5 / 250), 4) == 0.1132
    assert round(deflated_sharpe(daily, 1250, -3, 10, trials=100, variance=0.5 / 250), 4) == 0.9004
    assert round(deflated_sharpe(daily, 1250, -3, 10, trials=46, variance=0.5 / 250), 4) == 0.9505
    assert round(deflated_sharpe(daily, 1250, 0, 3, trials=88, variance=0.5 / 250), 4) == 0.9505


def test_the_examples_of_the_probabilistic_sharpe_ratio():
    """Bailey and Lopez de Prado (2012): two years of months at 0.458; and the track record that 2 over 1 takes."""
    assert round(probabilistic_sharpe(0.458, 0, 24), 3) == 0.982
    assert round(probabilistic_sharpe(0.458, 0, 24, -2.448, 10.164), 3) == 0.913
    years = minimum_track_record(2 / math.sqrt(250), 1 / math.sqrt(250), 0.95) / 250
    assert round(years, 2) == 2.73


def test_one_trial_deflates_nothing():
    returns = np.random.default_rng(1).normal(0.001, 0.01, 500).tolist()
    skewness, kurtosis = moments(returns)
    daily = np.mean(returns) / np.std(returns, ddof=1)
    expected = probabilistic_sharpe(daily, 0.0, 500, skewness, kurtosis)
    assert deflated_sharpe_of(returns, [daily]) == pytest.approx(expected)
    chosen = deflated_sharpe_of(returns, [daily, 0.0, -0.1, 0.1])
    assert chosen is not None
    assert chosen < expected
    assert deflated_sharpe_of([0.0] * 10, [0.0]) is None


def test_the_numbers_are_those_of_r():
    assert normals_of_r(42, 3).round(8).tolist() == [1.37095845, -0.56469817, 0.36312841]


def test_the_example_of_the_package_pbo():
    """Its vignette: 100 trials of equal merit, `set.seed(765)`, 8 blocks. Published: p_bo 1, p_loss 1, R^2 0.97.

    What its summary calls slope, -0.0030456, is the intercept of the own half over the other one.
    """
    returns = normals_of_r(765, 240_000).reshape(100, 2400).T
    returns = returns * (1 / math.sqrt(252)) / returns.std(axis=0, ddof=1)
    returns = returns - returns.mean(axis=0) - 0.03 / 252
    found = overfitting(returns, 8)
    assert (found.halvings, found.probability, found.loss) == (70, 1.0, 1.0)
    assert round(np.corrcoef(found.inside, found.outside)[0, 1] ** 2, 2) == 0.97
    assert np.polyfit(found.outside, found.inside, 1)[1] == pytest.approx(-0.0030456, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cross_validation_is_that_of_its_definition(seed):
    dice = np.random.default_rng(seed)
    returns = dice.normal(0.0005, 0.01, (100, 7)) * (dice.random(7) > 0.2)
    logits, pairs = [], []
    blocks = np.split(returns[4:], 6)
    for own in combinations(range(6), 3):
        inside, outside = (
            ratios(np.concatenate([blocks[number] for number in range(6) if (number in own) is wanted]))
            for wanted in (True, False)
        )
        best = inside.argmax()
        rank = (outside < outside[best]).sum() + ((outside == outside[best]).sum() + 1) / 2
        logits.append(math.log(rank / (8 - rank)))
        pairs.append((inside[best], outside[best]))
    found = overfitting(returns, 6)
    assert found.logits == pytest.approx(logits)
    assert list(zip(found.inside, found.outside, strict=True)) == [pytest.approx(pair) for pair in pairs]
    assert found.probability == np.mean(np.array(logits) <= 0)
    own_half, other_half = np.array(pairs).T
    slope, intercept = np.polyfit(own_half, other_half, 1)
    assert [found.slope, found.intercept] == pytest.approx([slope, intercept])


def ratios(returns):
    spread = returns.std(axis=0, ddof=1)
    return np.divide(returns.mean(axis=0), spread, out=np.zeros_like(spread), where=spread > 0)


def test_a_real_edge_is_no_overfitting_and_noise_is_a_coin():
    noise = np.random.default_rng(5).normal(0.0, 0.01, (1600, 20))
    edge = noise.copy()
    edge[:, 3] += 0.004
    assert overfitting(edge).probability == 0.0
    assert 0.2 < np.mean([
        overfitting(np.random.default_rng(seed).normal(0.0, 0.01, (400, 20)), 8).probability for seed in range(20)
    ]) < 0.8  # fmt: skip


def test_what_cannot_be_halved_is_refused():
    for shape, blocks in (((100, 1), 4), ((100, 5), 3), ((7, 5), 4)):
        with pytest.raises(ValueError, match="cannot be halved"):
            overfitting(np.zeros(shape), blocks)

"""Seeded randomness that is the same on every machine and in every version of Python.

SplitMix64 (G. Steele, D. Lea and C. Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) on
integers; floats come from it by exact operations only.
"""

from typing import Final

_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_FRACTION: Final = 1.0 / (1 << 53)
_ROOT_OF_THREE: Final = 1.7320508075688772


class Dice:
    """One stream of numbers; streams of different seeds do not know each other."""

    __slots__ = ("_state",)

    def __init__(self, *seeds: int) -> None:
        """Begin the stream that belongs to `seeds`, in their order."""
        self._state = 0
        for seed in seeds:
            self._state = (self._state ^ (seed & _MASK)) & _MASK
            self._state = self._next()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * ((self._next() >> 11) * _FRACTION)

    def bell(self) -> float:
        """Return a number round 0 with deviation 1, between -3.5 and 3.5: the sum of four uniform ones."""
        total = self.uniform() + self.uniform() + self.uniform() + self.uniform()
        return (total - 2.0) * _ROOT_OF_THREE

    def shuffled(self, count: int) -> list[int]:
        """Return 0 ... count-1 in random order."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            place = self._next() % (last + 1)
            order[last], order[place] = order[place], order[last]
        return order

    def _next(self) -> int:
        self._state = (self._state + _GAMMA) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

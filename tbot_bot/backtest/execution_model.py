"""How a backtest's orders are executed, chosen by options: slippage, volume cap, borrow list, recorded chains.

The defaults are what a dry run's venue does. A model can be compared, hashed and sent to another process: it names
files, and `market_facts.py` reads them.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.broker.venue_state import EXECUTION_PARTICIPATION, VenueRules
from tbot_bot.core.instants import MINUTE, Duration
from tbot_bot.core.money import ONE, ZERO, exact, plain

CHAIN_AGE: Final = Duration(2 * MINUTE)
"""How long a recorded quote stands; snapshots of whole minutes with one missing still do."""
_MOST: Final = {"bps": Decimal(1000), "spread": Decimal(10), "volume": Decimal(10)}
_NONE: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slippage:
    """What taking liquidity costs on top of the price that an order met; see `broker/liquidity.py`."""

    bps: Decimal = ZERO
    """Hundredths of a percent of the price."""
    spread: Decimal = ZERO
    """Fraction of a share's spread, which is estimated from its bars."""
    volume: Decimal = ZERO
    """Fraction of the price at the whole volume of a bar; falls with the square of our share of it."""

    def __str__(self) -> str:
        """Return what `slippage_of` reads."""
        parts = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ",".join(f"{name}:{plain(value)}" for name, value in parts if value) or _NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionModel:
    """One way to execute."""

    slippage: Slippage = Slippage()
    volume_cap: Decimal = EXECUTION_PARTICIPATION
    """Most of a bar's volume in a symbol that our orders take, as a fraction."""
    borrow: Path | None = None
    """Which shares could be borrowed when; None: all, always."""
    chains: Path | None = None
    """Recorded option chains, a file or a folder; None: puts are modelled."""
    chain_age: Duration = CHAIN_AGE

    @property
    def files(self) -> tuple[Path | None, Path | None, Duration]:
        """Return what of the model has to be read from files."""
        return self.borrow, self.chains, self.chain_age

    def rules(self) -> VenueRules:
        """Return the rules of a venue that executes so."""
        slippage = self.slippage
        return VenueRules(
            participation=self.volume_cap,
            slippage_bps=slippage.bps,
            slippage_spread=slippage.spread,
            slippage_volume=slippage.volume,
            slippage_on_limits=slippage != Slippage(),
        )


def slippage_of(text: str) -> Slippage:
    """Read `bps:2`, `spread:0.5,volume:0.1` or `none`.

    Raises:
        ValueError: says what is wrong.
    """
    if text.strip() == _NONE:
        return Slippage()
    found: dict[str, Decimal] = {}
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if name not in _MOST or not colon:
            msg = f"{part.strip()!r} is none of bps:NUMBER, spread:FRACTION, volume:FRACTION"
            raise ValueError(msg)
        if name in found:
            msg = f"{name} stands there twice"
            raise ValueError(msg)
        found[name] = _between(number, ZERO, _MOST[name], name)
    return Slippage(**found)


def volume_cap_of(text: str) -> Decimal:
    """Read a fraction above 0 and up to 1.

    Raises:
        ValueError: says what is wrong.
    """
    cap = _between(text, ZERO, ONE, "the cap")
    if not cap:
        msg = "a cap of 0 lets nothing trade"
        raise ValueError(msg)
    return cap


def _between(text: str, least: Decimal, most: Decimal, name: str) -> Decimal:
    number = exact(text.strip())
    if not least <= number <= most:
        msg = f"{name} is {text.strip()}; it must be from {plain(least)} to {plain(most)}"
        raise ValueError(msg)
    return number


__all__ = ["CHAIN_AGE", "ExecutionModel", "Slippage", "slippage_of", "volume_cap_of"]

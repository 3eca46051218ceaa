"""What a backtest knows beside its bars: spreads, shares to borrow, recorded puts, and the model where these end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from tbot_bot.assembly.embedded_market import ModelledPuts, volatility_at
from tbot_bot.backtest.execution_model import ExecutionModel
from tbot_bot.core.bars import Quote
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.money import CENT, ZERO
from tbot_bot.core.options import PutQuote, PutSides
from tbot_bot.marketdata.borrow_file import BorrowList, read_borrow_list
from tbot_bot.marketdata.chain_files import read_chains
from tbot_bot.marketdata.put_chains import Offered, PutChains
from tbot_bot.marketdata.puts import delta_of
from tbot_bot.marketdata.spreads import spread_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFacts:
    """The files of an execution model, read."""

    borrow: BorrowList | None = None
    chains: PutChains | None = None


NOTHING: Final = RecordedFacts()


def facts_of(model: ExecutionModel) -> RecordedFacts:
    """Read the files that `model` names.

    Raises:
        DataError: one cannot be used; names file and line.
    """
    return RecordedFacts(
        borrow=None if model.borrow is None else read_borrow_list(model.borrow),
        chains=None if model.chains is None else read_chains(model.chains, model.chain_age),
    )


class KnownMarket:
    """The answers to venues and sessions, one day after another; each as of the instant that is asked for."""

    def __init__(self, facts: RecordedFacts) -> None:
        """Begin before the first day."""
        self._facts = facts
        self._day: MarketDay | None = None
        self._models: ModelledPuts | None = None
        self._session = (Instant(0), Instant(0))

    def enter(self, day: MarketDay) -> None:
        """Answer for `day` from now on."""
        self._day, self._models = day, ModelledPuts(day)
        self._session = (day.day.open_at, day.day.close_at)

    def is_open(self, at: Instant) -> bool:
        """Return whether the day's session is on."""
        opens, closes = self._session
        return opens <= at < closes

    def price(self, instrument: Instrument, spot: float, at: Instant) -> float | None:
        """Return a put's premium as the day's model has it."""
        return None if self._models is None else self._models.price(instrument, spot, at)

    def spread(self, symbol: str, at: Instant) -> Decimal:
        """Return the spread of a share in dollars, from its bars of the day that were complete at `at`."""
        return CENT if self._day is None else spread_of(self._day.bars_until(symbol, at))

    def to_borrow(self, symbol: str, at: Instant) -> Decimal | None:
        """Return how many shares could be borrowed on the day of `at`; None: as many as wanted."""
        borrow = self._facts.borrow
        return None if borrow is None else borrow.shares(symbol, exchange_time(at).date())

    def put_sides(self, instrument: Instrument, since: Instant, until: Instant) -> Sequence[PutSides]:
        """Return the recorded quote that stands at `since`, and those after it until `until`."""
        chains = self._facts.chains
        return () if chains is None else chains.sides(instrument.symbol, since, until)

    def puts_offered(self, underlying: str, spot: Decimal, at: Instant, min_days: int) -> tuple[PutQuote, ...]:
        """Return the recorded puts on offer at `at`; none where the chains have none that stand."""
        chains = self._facts.chains
        if chains is None or self._day is None:
            return ()
        first = exchange_time(at).date() + timedelta(days=min_days)
        offered = chains.offered(underlying, at, first)
        volatility = volatility_at(self._day, underlying, at) if offered else None
        return tuple(_quoted(one, spot, at, volatility) for one in offered)


def _quoted(one: Offered, spot: Decimal, at: Instant, volatility: float | None) -> PutQuote:
    """Return `one` as a session sees it: standing at `at`, with the model's delta where none was recorded."""
    delta = one.delta
    if delta is None and volatility is not None:
        delta = Decimal(repr(delta_of(one.instrument, float(spot), at, volatility))).quantize(Decimal("0.0001"))
    quote = Quote(one.instrument.symbol, at, one.sides.bid, one.sides.ask, ZERO, ZERO, modelled=False)
    return PutQuote(instrument=one.instrument, quote=quote, delta=delta)


def notices_of(facts: RecordedFacts, days: Sequence[date]) -> list[str]:
    """Return what the files do not say about `days`, in words."""
    if facts.borrow is None:
        return []
    silent = facts.borrow.without(days)
    if not silent:
        return []
    first = f"{len(silent):,} of {len(days):,} days (first {silent[0].isoformat()})"
    return [f"The borrow list has no row for {first}: there every share could be borrowed."]


__all__ = ["NOTHING", "KnownMarket", "RecordedFacts", "facts_of", "notices_of"]

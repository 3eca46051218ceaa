"""An option on offer, as far as choosing one needs it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from tbot_bot.core.bars import Quote
from tbot_bot.core.codec import record
from tbot_bot.core.instruments import Instrument


class PutSides(NamedTuple):
    """Best bid and ask of a put, dollars per share; 0: nobody bids, or offers."""

    bid: Decimal
    ask: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PutQuote:
    """A listed put with its quote per share; `delta` is None where nobody computed it."""

    instrument: Instrument
    quote: Quote
    delta: Decimal | None

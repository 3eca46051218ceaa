"""Puts on offer at Alpaca: the listed contracts of the nearest expiry that is late enough, and what they cost."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Final

from tbot_bot.broker.alpaca_market_wire import WireContract, contracts_of, put_quotes_of
from tbot_bot.broker.alpaca_rest import AlpacaRest
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.events import PutQuotesRead
from tbot_bot.core.money import plain
from tbot_bot.core.options import PutQuote

EXPIRIES_WITHIN_DAYS: Final = 60
"""Weekly or monthly: something is listed in any such span."""
STRIKES_EACH_SIDE: Final = 12
_STRIKES_WITHIN: Final = Decimal("0.3")
_PAGE, _PAGES_MAX = "1000", 10
_OPTIONS_VERSION: Final = "v1beta1"


class AlpacaPuts:
    """Reads the chain from the trading interface and the quotes from the data interface."""

    def __init__(self, trading: AlpacaRest, data: AlpacaRest, note: Callable[[str], None]) -> None:
        """`note` hears of contracts that could not be read."""
        self._trading, self._data, self._note = trading, data, note

    async def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts of the nearest expiry that is late enough, around the money; never raises for the broker."""
        try:
            contracts = nearest(await self._listed(request), request.spot)
            quotes = await self._quoted(contracts) if contracts else ()
            problem = "" if quotes else _why_none(request, contracts)
        except BrokerProblem as error:
            quotes, problem = (), str(error)
        return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=quotes, problem=problem)

    async def _listed(self, request: ReadPutQuotes) -> list[WireContract]:
        earliest = exchange_time(request.at).date() + timedelta(days=request.min_days)
        query = {
            "underlying_symbols": request.underlying,
            "type": "put",
            "status": "active",
            "expiration_date_gte": earliest.isoformat(),
            # without it Alpaca lists what expires by the coming weekend
            "expiration_date_lte": (earliest + timedelta(days=EXPIRIES_WITHIN_DAYS)).isoformat(),
            "strike_price_gte": plain(request.spot * (1 - _STRIKES_WITHIN)),
            "strike_price_lte": plain(request.spot * (1 + _STRIKES_WITHIN)),
            "limit": _PAGE,
        }
        found: list[WireContract] = []
        token = ""
        for _ in range(_PAGES_MAX):
            told = await self._trading.read("/options/contracts", query | ({"page_token": token} if token else {}))
            contracts, token = contracts_of(told)
            found += contracts
            if not token:
                return found
        self._note(f"Alpaca lists more puts on {request.underlying} than were read")
        return found

    async def _quoted(self, contracts: tuple[WireContract, ...]) -> tuple[PutQuote, ...]:
        query = {"symbols": ",".join(one.instrument.symbol for one in contracts), "limit": "100"}
        told = await self._data.read("/options/snapshots", query, version=_OPTIONS_VERSION)
        return put_quotes_of(told)


def nearest(contracts: list[WireContract], spot: Decimal) -> tuple[WireContract, ...]:
    """Return the tradable contracts of the earliest expiry whose strikes are nearest to `spot`, by strike."""
    tradable = [one for one in contracts if one.tradable and one.instrument.expiry is not None]
    if not tradable:
        return ()
    first = min(one.instrument.expiry for one in tradable if one.instrument.expiry is not None)
    listed = [one for one in tradable if one.instrument.expiry == first]
    listed.sort(key=lambda one: (abs(one.instrument.strike - spot), one.instrument.strike))
    return tuple(sorted(listed[: 2 * STRIKES_EACH_SIDE + 1], key=lambda one: one.instrument.strike))


def _why_none(request: ReadPutQuotes, contracts: tuple[WireContract, ...]) -> str:
    if not contracts:
        return f"Alpaca lists no put on {request.underlying} that expires in {request.min_days} days or later"
    return "no put round the money has a bid and an ask"


__all__ = ["AlpacaPuts", "nearest"]

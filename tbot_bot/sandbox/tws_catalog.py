"""What can be traded and asked about over the TWS protocol: the market's shares, the puts on them, and the VIX."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import Instrument, equity
from tbot_bot.core.money import CENT, ZERO
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tws_contracts import ContractAsked, ContractTold
from tbot_bot.sandbox.tws_replies import ContractDetails, PriceIncrement

VIX_CON_ID: Final = 13455763
"""The vendor's own number for the index."""
MARKET_RULE: Final = 26
INCREMENTS: Final = (
    PriceIncrement(low_edge=ZERO, increment=Decimal("0.0001")),
    PriceIncrement(low_edge=Decimal(1), increment=CENT),
)
SHARE_EXCHANGES: Final = ("SMART", "NASDAQ", "NYSE", "ARCA", "AMEX", "BATS", "IEX", "ISLAND", "OVERNIGHT")
OPTION_EXCHANGES: Final = ("SMART", "CBOE", "AMEX", "ISE", "PHLX", "BOX")
_PRIMARY: Final = "NASDAQ"
_LOWEST: Final = 100_000_000
_ORDER_TYPES: Final = "LMT,LOC,MKT,MOC,STP,STP LMT,TRAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One contract of the catalogue. `instrument` is None for an index, which nobody can trade."""

    con_id: int
    symbol: str
    """The share's, also for its options."""
    sec_type: str
    exchange: str
    """Where it is listed."""
    instrument: Instrument | None
    last_trade_date: str = ""
    strike: Decimal = ZERO
    right: str = ""
    multiplier: str = ""
    local_symbol: str
    underlying_con_id: int = 0

    @property
    def key(self) -> str:
        """Return the exchange's own symbol of it."""
        return self.symbol if self.instrument is None else self.instrument.symbol

    @property
    def units(self) -> Decimal:
        """Return how many units of the underlying one unit of quantity is: 100 for an option."""
        return Decimal(1) if self.instrument is None else self.instrument.multiplier

    def told(self, exchange: str = "") -> ContractTold:
        """Return how answers name it."""
        return ContractTold(
            con_id=self.con_id,
            symbol=self.symbol,
            sec_type=self.sec_type,
            last_trade_date=self.last_trade_date,
            strike=self.strike,
            right=self.right or "?",
            multiplier=self.multiplier,
            exchange=exchange or self.exchange,
            local_symbol=self.local_symbol,
            trading_class=self.symbol,
        )

    def details(self, req_id: int, exchange: str, hours: tuple[str, str]) -> ContractDetails:
        """Return its details; `hours` are the trading and the liquid hours in the vendor's spelling."""
        option = self.sec_type == "OPT"
        index = self.instrument is None
        exchanges = ("CBOE",) if index else OPTION_EXCHANGES if option else SHARE_EXCHANGES
        return ContractDetails(
            req_id=req_id,
            symbol=self.symbol,
            sec_type=self.sec_type,
            last_trade=self.last_trade_date,
            strike=self.strike,
            right=self.right,
            exchange=exchange or exchanges[0],
            local_symbol=self.local_symbol,
            market_name=self.symbol,
            trading_class=self.symbol,
            con_id=self.con_id,
            multiplier=self.multiplier,
            order_types="" if index else _ORDER_TYPES,
            valid_exchanges=",".join(exchanges),
            underlying_con_id=self.underlying_con_id,
            long_name="CBOE VOLATILITY INDEX" if index else f"{self.symbol} SANDBOX",
            primary_exchange="" if option else self.exchange,
            contract_month=self.last_trade_date[:6],
            trading_hours=hours[0],
            liquid_hours=hours[1],
            underlying_symbol=self.symbol if option else "",
            underlying_sec_type="STK" if option else "",
            market_rule_ids=",".join([str(MARKET_RULE)] * len(exchanges)),
            real_expiration=self.last_trade_date,
            stock_type="COMMON" if self.sec_type == "STK" else "",
        )


class Catalog:
    """Finds contracts by what a client says of them. Numbers are made of symbols, the same in every run."""

    def __init__(self, market: SandboxMarket) -> None:
        """List the shares of `market`; the puts are listed when somebody looks for one."""
        self._market = market
        self._by_con_id: dict[int, Listed] = {}
        self._by_key: dict[str, Listed] = {}
        self._add(
            Listed(
                con_id=VIX_CON_ID, symbol="VIX", sec_type="IND", exchange="CBOE", instrument=None, local_symbol="VIX"
            )
        )
        for symbol in market.symbols:
            self.of(equity(symbol))

    def of(self, instrument: Instrument) -> Listed:
        """Return the contract of a share or a put of the market."""
        found = self._by_key.get(instrument.symbol)
        return self._add(self._listed(instrument)) if found is None else found

    def find(self, asked: ContractAsked, at: Instant) -> tuple[Listed, ...]:
        """Return the contracts that fit the description; `at` decides which expirations are listed."""
        if asked.con_id:
            if asked.con_id not in self._by_con_id:
                self._list_all_puts(at)
            found = self._by_con_id.get(asked.con_id)
            return () if found is None else (found,)
        if asked.currency not in {"", "USD"}:
            return ()
        match asked.sec_type:
            case "STK" if asked.exchange in {"", *SHARE_EXCHANGES}:
                name = asked.symbol or asked.local_symbol
                return (self._by_key[name],) if self._market.knows(name) else ()
            case "IND" if (asked.symbol or asked.local_symbol) == "VIX" and asked.exchange in {"", "CBOE"}:
                return (self._by_con_id[VIX_CON_ID],)
            case "OPT" if asked.exchange in {"", *OPTION_EXCHANGES}:
                underlying = asked.symbol or asked.local_symbol[:6].strip()
                return tuple(put for put in self.puts(underlying, at) if _fits(put, asked))
            case _:
                return ()

    def puts(self, underlying: str, at: Instant) -> Iterator[Listed]:
        """Yield the puts on a share."""
        for instrument in self._market.puts(underlying, at):
            yield self.of(instrument)

    def matching(self, pattern: str) -> tuple[Listed, ...]:
        """Return the shares and indices whose symbol begins with `pattern`."""
        wanted = pattern.upper()
        listed = (self._by_key[symbol] for symbol in ("VIX", *self._market.symbols))
        return tuple(one for one in listed if wanted and one.symbol.startswith(wanted))

    def _list_all_puts(self, at: Instant) -> None:
        for symbol in self._market.symbols:
            for instrument in self._market.puts(symbol, at):
                self.of(instrument)

    def _listed(self, instrument: Instrument) -> Listed:
        symbol = instrument.symbol
        if not instrument.underlying:
            return Listed(
                con_id=self._number(symbol),
                symbol=symbol,
                sec_type="STK",
                exchange=_PRIMARY,
                instrument=instrument,
                local_symbol=symbol,
            )
        root = instrument.underlying
        expiry = "" if instrument.expiry is None else f"{instrument.expiry:%Y%m%d}"
        return Listed(
            con_id=self._number(symbol),
            symbol=root,
            sec_type="OPT",
            exchange="CBOE",
            instrument=instrument,
            last_trade_date=expiry,
            strike=instrument.strike,
            right="P",
            multiplier=str(instrument.multiplier),
            local_symbol=f"{root:<6}{symbol[len(root) :]}",
            underlying_con_id=self._number(root),
        )

    def _number(self, symbol: str) -> int:
        digest = hashlib.blake2s(symbol.encode(), digest_size=4).digest()
        number = _LOWEST + int.from_bytes(digest, "big") % (2**31 - 1 - _LOWEST)
        while number in self._by_con_id and self._by_con_id[number].key != symbol:
            number += 1
        return number

    def _add(self, listed: Listed) -> Listed:
        self._by_con_id[listed.con_id] = self._by_key[listed.key] = listed
        return listed


def _fits(put: Listed, asked: ContractAsked) -> bool:
    if asked.local_symbol:
        return put.local_symbol == asked.local_symbol
    return (
        put.last_trade_date.startswith(asked.last_trade_date)
        and (not asked.strike or put.strike == asked.strike)
        and asked.right.upper() in {"", "0", "?", "P", "PUT"}
        and asked.multiplier in {"", put.multiplier}
        and asked.trading_class in {"", put.symbol}
    )

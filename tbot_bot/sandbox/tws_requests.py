"""What a client of the TWS protocol asks, server version 176, one record per kind of message. Pure.

The order of fields was read in the client library that the project uses (ib_async 2.1, client.py).
Orders have a module of their own, `tws_place_order`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from tbot_bot.sandbox.tws_contracts import ComboLeg, ContractAsked, DeltaNeutral
from tbot_bot.sandbox.tws_fields import Message, OnlyWhere, Seen, read_integer
from tbot_bot.sandbox.tws_frames import Malformed
from tbot_bot.sandbox.tws_place_order import PlaceOrder

_REQUEST_ID: Final = re.compile(r"\d{1,10}", re.ASCII)


def of_combination(seen: Seen) -> bool:
    """Return whether the contract of a message is a combination, whose legs follow."""
    contract = seen["contract"]
    return isinstance(contract, ContractAsked) and contract.sec_type == "BAG"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartApi(Message):
    """The client's name for itself; after it the server says accounts and the next order id."""

    number: ClassVar = 71
    version: ClassVar = 2
    client_id: int
    optional_capabilities: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqMarketData(Message):
    """Ticks of a contract, once or until cancelled."""

    number: ClassVar = 1
    version: ClassVar = 11
    req_id: int
    contract: ContractAsked
    legs: Annotated[tuple[ComboLeg, ...], OnlyWhere(of_combination)] = ()
    has_delta_neutral: bool = False
    delta_neutral: Annotated[DeltaNeutral | None, OnlyWhere(lambda seen: bool(seen["has_delta_neutral"]))] = None
    generic_ticks: str = ""
    snapshot: bool = False
    regulatory_snapshot: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelMarketData(Message):
    number: ClassVar = 2
    version: ClassVar = 2
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(Message):
    number: ClassVar = 4
    version: ClassVar = 1
    order_id: int
    manual_time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqOpenOrders(Message):
    """The open orders of this client id."""

    number: ClassVar = 5
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqAccountUpdates(Message):
    number: ClassVar = 6
    version: ClassVar = 2
    subscribe: bool
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqExecutions(Message):
    """Today's executions; a filter that is empty or 0 lets everything pass."""

    number: ClassVar = 7
    version: ClassVar = 3
    req_id: int
    client_id: int = 0
    account: str = ""
    time: str = ""
    """YYYYMMDD-HH:MM:SS in UTC, or YYYYMMDD HH:MM:SS with a zone: only what was traded then or later."""
    symbol: str = ""
    sec_type: str = ""
    exchange: str = ""
    side: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqIds(Message):
    number: ClassVar = 8
    version: ClassVar = 1
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqContractDetails(Message):
    number: ClassVar = 9
    version: ClassVar = 8
    req_id: int
    contract: ContractAsked
    include_expired: bool = False
    sec_id_type: str = ""
    sec_id: str = ""
    issuer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetServerLogLevel(Message):
    number: ClassVar = 14
    version: ClassVar = 1
    level: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqAutoOpenOrders(Message):
    """Bind orders that were entered by hand to client 0."""

    number: ClassVar = 15
    version: ClassVar = 1
    bind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqAllOpenOrders(Message):
    """The open orders of every client id."""

    number: ClassVar = 16
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqManagedAccounts(Message):
    number: ClassVar = 17
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqHistoricalData(Message):
    number: ClassVar = 20
    req_id: int
    contract: ContractAsked
    include_expired: bool = False
    end: str = ""
    """YYYYMMDD HH:MM:SS with a zone, or YYYYMMDD-HH:MM:SS in UTC; empty is now."""
    bar_size: str = ""
    duration: str = ""
    regular_hours: bool = True
    what_to_show: str = ""
    format_date: int = 1
    """1: texts in the exchange's zone; 2: seconds since 1970 (days stay texts)."""
    legs: Annotated[tuple[ComboLeg, ...], OnlyWhere(of_combination)] = ()
    keep_up_to_date: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelHistoricalData(Message):
    number: ClassVar = 25
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqCurrentTime(Message):
    number: ClassVar = 49
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqRealTimeBars(Message):
    """Bars of five seconds until cancelled."""

    number: ClassVar = 50
    version: ClassVar = 3
    req_id: int
    contract: ContractAsked
    bar_size: int = 5
    what_to_show: str = ""
    regular_hours: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRealTimeBars(Message):
    number: ClassVar = 51
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqGlobalCancel(Message):
    """Cancel every open order of the account, whoever sent it."""

    number: ClassVar = 58
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqMarketDataType(Message):
    """1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    number: ClassVar = 59
    version: ClassVar = 1
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqPositions(Message):
    number: ClassVar = 61
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqAccountSummary(Message):
    number: ClassVar = 62
    version: ClassVar = 1
    req_id: int
    group: str
    tags: str
    """Names parted by commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAccountSummary(Message):
    number: ClassVar = 63
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPositions(Message):
    number: ClassVar = 64
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqAccountUpdatesMulti(Message):
    number: ClassVar = 76
    version: ClassVar = 1
    req_id: int
    account: str = ""
    model_code: str = ""
    ledger_and_liquidation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAccountUpdatesMulti(Message):
    number: ClassVar = 77
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqOptionParameters(Message):
    """The grid of strikes and expirations of an underlying (reqSecDefOptParams)."""

    number: ClassVar = 78
    req_id: int
    symbol: str
    exchange: str
    """Empty for stocks; the exchange of a future."""
    sec_type: str
    con_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqMatchingSymbols(Message):
    number: ClassVar = 81
    req_id: int
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqMarketRule(Message):
    """The price increments behind a number of a contract's `market_rule_ids`."""

    number: ClassVar = 91
    rule_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReqCompletedOrders(Message):
    number: ClassVar = 99
    api_only: bool = False


KINDS: Final[dict[int, type[Message]]] = {
    kind.number: kind
    for kind in (
        StartApi, ReqMarketData, CancelMarketData, PlaceOrder, CancelOrder, ReqOpenOrders, ReqAccountUpdates,
        ReqExecutions, ReqIds, ReqContractDetails, SetServerLogLevel, ReqAutoOpenOrders, ReqAllOpenOrders,
        ReqManagedAccounts, ReqHistoricalData, CancelHistoricalData, ReqCurrentTime, ReqRealTimeBars,
        CancelRealTimeBars, ReqGlobalCancel, ReqMarketDataType, ReqPositions, ReqAccountSummary,
        CancelAccountSummary, CancelPositions, ReqAccountUpdatesMulti, CancelAccountUpdatesMulti,
        ReqOptionParameters, ReqMatchingSymbols, ReqMarketRule, ReqCompletedOrders,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOffered:
    """A request of the protocol that the sandbox does not answer."""

    message: int
    request_id: int


def request_of(fields: Sequence[str]) -> Message | NotOffered:
    """Return the request that the fields of one frame are.

    Raises:
        Malformed: a field is missing or is not what its place asks for; its `request_id` is set where one was read.
    """
    number = read_integer(fields[0])
    kind = KINDS.get(number)
    if kind is None:
        return NotOffered(message=number, request_id=_request_id(fields, places=(2, 1)))
    try:
        return kind.parse(fields)
    except Malformed as error:
        place = 1 if kind.version is None else 2
        raise Malformed(f"message {number}: {error.what}", request_id=_request_id(fields, places=(place,))) from None


def _request_id(fields: Sequence[str], *, places: tuple[int, ...]) -> int:
    for place in places:
        if place < len(fields) and _REQUEST_ID.fullmatch(fields[place]):
            return int(fields[place])
    return -1

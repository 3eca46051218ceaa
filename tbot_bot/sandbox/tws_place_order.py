"""The order message of the TWS protocol, server version 176, with every field that a client sends. Pure.

The order of fields was read in the client library that the project uses (ib_async 2.1, client.py, placeOrder).
Fields that only pegged and exchange-specific types append at the very end are left unread.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar, Final

from tbot_bot.sandbox.tws_contracts import AT_ONCE, ContractAsked, DeltaNeutral, TagValue, Waits
from tbot_bot.sandbox.tws_fields import Message, OnlyWhere, Seen

_ZERO: Final = Decimal(0)


def _combination(seen: Seen) -> bool:
    contract = seen["contract"]
    return isinstance(contract, ContractAsked) and contract.sec_type == "BAG"


def _scaled(seen: Seen) -> bool:
    increment = seen["scale_price_increment"]
    return isinstance(increment, Decimal) and increment > 0


def _pegged(seen: Seen) -> bool:
    return seen["order_type"] in {"PEG BENCH", "PEGBENCH"}


def _read_so_far(seen: Seen) -> bool:
    waits = seen["waits"]
    return isinstance(waits, Waits) and waits.readable


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLeg:
    """One leg of a combination order."""

    con_id: int = 0
    ratio: int = 0
    action: str = ""
    exchange: str = ""
    open_close: int = 0
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPrice:
    """The price of one leg of a combination order."""

    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What a combination order says about its legs."""

    legs: tuple[OrderLeg, ...] = ()
    prices: tuple[LegPrice, ...] = ()
    routing: tuple[TagValue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeutralOrder:
    """The second order of a delta-neutral one."""

    con_id: int = 0
    settling_firm: str = ""
    clearing_account: str = ""
    clearing_intent: str = ""
    open_close: str = ""
    short_sale: bool = False
    short_sale_slot: int = 0
    designated_location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRest:
    """How a scale order goes on after its first increment."""

    price_adjust_value: Decimal | None = None
    price_adjust_interval: int | None = None
    profit_offset: Decimal | None = None
    auto_reset: bool = False
    init_position: int | None = None
    init_fill_quantity: int | None = None
    random_percent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pegged:
    """The benchmark of a pegged order."""

    reference_con_id: int = 0
    is_decrease: bool = False
    change: Decimal = _ZERO
    reference_change: Decimal = _ZERO
    reference_exchange: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What follows the conditions of an order."""

    adjusted_order_type: str = ""
    trigger_price: Decimal | None = None
    limit_price_offset: Decimal | None = None
    adjusted_stop_price: Decimal | None = None
    adjusted_stop_limit_price: Decimal | None = None
    adjusted_trailing_amount: Decimal | None = None
    adjustable_trailing_unit: int = 0
    external_operator: str = ""
    soft_dollar_name: str = ""
    soft_dollar_value: str = ""
    cash_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(Message):
    """A new order, or the new terms of an order of the same id."""

    number: ClassVar = 3
    order_id: int
    contract: ContractAsked
    sec_id_type: str = ""
    sec_id: str = ""
    action: str = ""
    """BUY, SELL or SSHORT."""
    total_quantity: Decimal = _ZERO
    order_type: str = ""
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    """The stop's trigger; the trailing amount of a trailing stop."""
    tif: str = ""
    oca_group: str = ""
    account: str = ""
    open_close: str = ""
    origin: int = 0
    order_ref: str = ""
    """The client's own text: neither unique nor checked."""
    transmit: bool = True
    parent_id: int = 0
    block_order: bool = False
    sweep_to_fill: bool = False
    display_size: int | None = None
    trigger_method: int = 0
    outside_rth: bool = False
    hidden: bool = False
    combination: Annotated[Combination | None, OnlyWhere(_combination)] = None
    shares_allocation: str = ""
    discretionary_amount: Decimal | None = None
    good_after_time: str = ""
    good_till_date: str = ""
    fa_group: str = ""
    fa_method: str = ""
    fa_percentage: str = ""
    fa_profile: str = ""
    model_code: str = ""
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1
    oca_type: int = 0
    """1 cancel with block, 2 reduce with block, 3 reduce without block."""
    rule_80a: str = ""
    settling_firm: str = ""
    all_or_none: bool = False
    min_quantity: int | None = None
    percent_offset: Decimal | None = None
    electronic_only: bool = False
    firm_quote_only: bool = False
    nbbo_price_cap: Decimal | None = None
    auction_strategy: int | None = None
    starting_price: Decimal | None = None
    stock_reference_price: Decimal | None = None
    delta: Decimal | None = None
    stock_range_lower: Decimal | None = None
    stock_range_upper: Decimal | None = None
    override_percentage_constraints: bool = False
    volatility: Decimal | None = None
    volatility_type: int | None = None
    neutral_order_type: str = ""
    neutral_aux_price: Decimal | None = None
    neutral: Annotated[NeutralOrder | None, OnlyWhere(lambda seen: bool(seen["neutral_order_type"]))] = None
    continuous_update: bool = False
    reference_price_type: int | None = None
    trail_stop_price: Decimal | None = None
    trailing_percent: Decimal | None = None
    scale_init_level_size: int | None = None
    scale_subs_level_size: int | None = None
    scale_price_increment: Decimal | None = None
    scale: Annotated[ScaleRest | None, OnlyWhere(_scaled)] = None
    scale_table: str = ""
    active_start_time: str = ""
    active_stop_time: str = ""
    hedge_type: str = ""
    hedge_param: Annotated[str, OnlyWhere(lambda seen: bool(seen["hedge_type"]))] = ""
    opt_out_smart_routing: bool = False
    clearing_account: str = ""
    clearing_intent: str = ""
    not_held: bool = False
    has_delta_neutral: bool = False
    delta_neutral: Annotated[DeltaNeutral | None, OnlyWhere(lambda seen: bool(seen["has_delta_neutral"]))] = None
    algo_strategy: str = ""
    algo_params: Annotated[tuple[TagValue, ...], OnlyWhere(lambda seen: bool(seen["algo_strategy"]))] = ()
    algo_id: str = ""
    what_if: bool = False
    misc_options: str = ""
    solicited: bool = False
    randomize_size: bool = False
    randomize_price: bool = False
    pegged: Annotated[Pegged | None, OnlyWhere(_pegged)] = None
    waits: Waits = AT_ONCE
    tail: Annotated[Tail, OnlyWhere(_read_so_far)] = Tail()
    """Left unread behind conditions that were not read."""

"""How the TWS protocol tells of orders, server version 176: open, completed, their status, their executions. Pure.

The order of fields was read in the client library that the project uses (ib_async 2.1, decoder.py). What the
sandbox never sets keeps its default, which spells "no value".
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar

from tbot_bot.sandbox.tws_contracts import AT_ONCE, ContractTold, TagValue, Waits
from tbot_bot.sandbox.tws_fields import Message, OnlyWhere

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was ordered."""

    action: str
    total_quantity: Decimal
    order_type: str
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    tif: str = "DAY"
    oca_group: str = ""
    account: str = ""
    open_close: str = ""
    origin: int = 0
    order_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When and for whom an order is worked."""

    outside_rth: bool = False
    hidden: bool = False
    discretionary_amount: Decimal | None = _ZERO
    good_after_time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisor:
    """How an advisor shares an order out, and its model."""

    fa_group: str = ""
    fa_method: str = ""
    fa_percentage: str = ""
    fa_profile: str = ""
    model_code: str = ""
    good_till_date: str = ""
    rule_80a: str = ""
    percent_offset: Decimal | None = None
    settling_firm: str = ""
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The stock behind a volatility order."""

    starting_price: Decimal | None = None
    stock_reference_price: Decimal | None = None
    delta: Decimal | None = None
    stock_range_lower: Decimal | None = None
    stock_range_upper: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volatility:
    """The volatility of such an order."""

    volatility: Decimal | None = None
    volatility_type: int | None = None
    neutral_order_type: str = ""
    neutral_aux_price: Decimal | None = None
    continuous_update: bool = False
    reference_price_type: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """A combination and a scale, both empty."""

    description: str = ""
    legs: int = 0
    leg_prices: int = 0
    routing: int = 0
    scale_init_level_size: int | None = None
    scale_subs_level_size: int | None = None
    scale_price_increment: Decimal | None = None
    hedge_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """Who clears, and by which algorithm the order is worked."""

    clearing_account: str = ""
    clearing_intent: str = "IB"
    not_held: bool = False
    has_delta_neutral: bool = False
    algo_strategy: str = ""
    algo_params: Annotated[tuple[TagValue, ...], OnlyWhere(lambda seen: bool(seen["algo_strategy"]))] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order's state, with what it would do to the account where the client only asked."""

    status: str
    init_margin_before: str = ""
    maintenance_margin_before: str = ""
    equity_with_loan_before: str = ""
    init_margin_change: str = ""
    maintenance_margin_change: str = ""
    equity_with_loan_change: str = ""
    init_margin_after: str = ""
    maintenance_margin_after: str = ""
    equity_with_loan_after: str = ""
    commission: Decimal | None = None
    commission_min: Decimal | None = None
    commission_max: Decimal | None = None
    commission_currency: str = ""
    warning: str = ""
    randomize_size: bool = False
    randomize_price: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """What an order's conditions and its adjustable parts are."""

    waits: Waits = AT_ONCE
    adjusted_order_type: str = "None"
    trigger_price: Decimal | None = None
    trail_stop_price: Decimal | None = None
    limit_price_offset: Decimal | None = None
    adjusted_stop_price: Decimal | None = None
    adjusted_stop_limit_price: Decimal | None = None
    adjusted_trailing_amount: Decimal | None = None
    adjustable_trailing_unit: int = 0
    soft_dollar_name: str = ""
    soft_dollar_value: str = ""
    soft_dollar_display: str = ""
    cash_quantity: Decimal | None = _ZERO
    dont_use_auto_price_for_hedge: bool = True
    is_oms_container: bool = False
    discretionary_up_to_limit_price: bool = False
    use_price_management: bool = False
    duration: int | None = None
    post_to_ats: int | None = None
    auto_cancel_parent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What only some venues of the vendor ask for."""

    min_trade_quantity: int | None = None
    min_compete_size: int | None = None
    compete_against_best_offset: Decimal | None = None
    mid_offset_at_whole: Decimal | None = None
    mid_offset_at_half: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder(Message):
    """An order that is open, or the answer to a what-if."""

    number: ClassVar = 5
    order_id: int
    contract: ContractTold
    terms: Terms
    client_id: int
    perm_id: int
    when: Conditions = Conditions()
    deprecated: str = ""
    advisor: Advisor = Advisor()
    auction_strategy: int | None = None
    reference: Reference = Reference()
    display_size: int | None = None
    block_order: bool = False
    sweep_to_fill: bool = False
    all_or_none: bool = False
    min_quantity: int | None = None
    oca_type: int = 0
    electronic_only: bool = False
    firm_quote_only: bool = False
    nbbo_price_cap: Decimal | None = None
    parent_id: int = 0
    trigger_method: int = 0
    volatility: Volatility = Volatility()
    trail_stop_price: Decimal | None = None
    trailing_percent: Decimal | None = None
    basis_points: Decimal | None = None
    basis_points_type: int | None = None
    legs: Legs = Legs()
    opt_out_smart_routing: bool = False
    clearing: Clearing = Clearing()
    solicited: bool = False
    what_if: bool = False
    state: OrderState
    adjusted: Adjusted = Adjusted()
    sizes: Sizes = Sizes()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedOrder(Message):
    """An order that has ended today. It names no order id and no client, only the venue's own id."""

    number: ClassVar = 101
    contract: ContractTold
    terms: Terms
    perm_id: int
    when: Conditions = Conditions()
    advisor: Advisor = Advisor()
    reference: Reference = Reference()
    display_size: int | None = None
    sweep_to_fill: bool = False
    all_or_none: bool = False
    min_quantity: int | None = None
    oca_type: int = 0
    trigger_method: int = 0
    volatility: Volatility = Volatility()
    trail_stop_price: Decimal | None = None
    trailing_percent: Decimal | None = None
    legs: Legs = Legs()
    clearing: Clearing = Clearing()
    solicited: bool = False
    status: str
    randomize_size: bool = False
    randomize_price: bool = False
    waits: Waits = AT_ONCE
    moving_stop_price: Decimal | None = None
    limit_price_offset: Decimal | None = None
    cash_quantity: Decimal | None = _ZERO
    dont_use_auto_price_for_hedge: bool = True
    is_oms_container: bool = False
    auto_cancel_date: str = ""
    filled_quantity: Decimal = _ZERO
    reference_futures_con_id: int = 0
    auto_cancel_parent: bool = False
    shareholder: str = ""
    imbalance_only: bool = False
    route_marketable_to_bbo: bool = False
    parent_perm_id: int = 0
    completed_time: str = ""
    completed_status: str = ""
    sizes: Sizes = Sizes()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus(Message):
    """Where an order stands: a state, told as often as the server likes, not an event."""

    number: ClassVar = 3
    order_id: int
    status: str
    filled: Decimal
    remaining: Decimal
    average_fill_price: Decimal
    perm_id: int
    parent_id: int
    last_fill_price: Decimal
    client_id: int
    why_held: str = ""
    market_cap_price: Decimal = _ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionDetails(Message):
    """One execution; `req_id` is -1 for one that just happened."""

    number: ClassVar = 11
    req_id: int
    order_id: int
    contract: ContractTold
    execution_id: str
    time: str
    account: str
    exchange: str
    side: str
    """BOT or SLD."""
    shares: Decimal
    price: Decimal
    perm_id: int
    client_id: int
    liquidation: int = 0
    cumulative_quantity: Decimal
    average_price: Decimal
    order_ref: str = ""
    ev_rule: str = ""
    ev_multiplier: Decimal | None = None
    model_code: str = ""
    last_liquidity: int = 2
    """1 added, 2 removed, 3 routed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionReport(Message):
    """What an execution cost; it comes after everything else about it."""

    number: ClassVar = 59
    version: ClassVar = 1
    execution_id: str
    commission: Decimal
    currency: str = "USD"
    realized_pnl: Decimal | None = None
    yield_: Decimal | None = None
    yield_redemption_date: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrdersEnd(Message):
    number: ClassVar = 53
    version: ClassVar = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionsEnd(Message):
    number: ClassVar = 55
    version: ClassVar = 1
    req_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedOrdersEnd(Message):
    number: ClassVar = 102

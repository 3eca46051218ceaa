"""Booking what no execution brings: costs, dividends, interest, floats, the end of contracts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Protocol

from tbot_bot.accounting.account_transaction import (
    Movement,
    Occasion,
    assignment_lines,
    between,
    float_in_lines,
    float_out_lines,
    movement_lines,
    reversal_lines,
)
from tbot_bot.accounting.corrections import Desk
from tbot_bot.accounting.entries import LedgerEntry, LedgerLine, Source, Template
from tbot_bot.accounting.ledger_schema import Role
from tbot_bot.accounting.units import product_units, quantity_units, to_units
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO, exact, plain
from tbot_bot.journal.ledger_posting import LedgerPosting, PostingKind
from tbot_bot.trading.float_bot import RESERVE
from tbot_bot.treasury.records import AuthorizedTransfer, TransferSettled

_OCC: Final = re.compile(r"(?P<root>[A-Z.]{1,6})(?P<expiry>\d{6})(?P<right>[CP])(?P<strike>\d{8})")
"""OCC Options Symbology Initiative: root, yymmdd, right, strike times 1000."""
SHARES: Final = Decimal(100)
"""Behind one contract."""
_STRIKE_SCALE: Final = 1000
_MONEY: Final = {
    PostingKind.INFRASTRUCTURE: (Template.INFRASTRUCTURE, Role.INFRASTRUCTURE, Role.CAPITAL),
    PostingKind.FEE: (Template.FEE, Role.FEES, Role.CASH),
    PostingKind.DIVIDEND: (Template.DIVIDEND, Role.CASH, Role.DIVIDENDS),
    PostingKind.INTEREST: (Template.INTEREST, Role.CASH, Role.INTEREST),
    PostingKind.BORROW_FEE: (Template.BORROW_FEE, Role.BORROW, Role.CASH),
    PostingKind.TIMEOUT_PENALTY: (Template.TIMEOUT_PENALTY, Role.TIMEOUTS, Role.CASH),
}
"""Template, debit, credit."""
_OF_NO_BROKER: Final = frozenset({Role.INFRASTRUCTURE, Role.CAPITAL, Role.TIMEOUTS})
_CONTRACTS: Final = frozenset({PostingKind.EXPIRY, PostingKind.ASSIGNMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What an OCC symbol says."""

    underlying: str
    is_put: bool
    strike: Decimal


class PostingDesk(Desk, Protocol):
    """What postings need of the one who books."""

    def occasion(
        self, what: str, *names: str, at: Instant, source: Source, day: date | None = None, broker: str = "",
        confirmation: str = "", reverses: str = "",
    ) -> Occasion:  # fmt: skip
        """Return an occasion of the present row."""

    def book(self, occasion: Occasion, template: Template, lines: Callable[[], list[LedgerLine]], text: str) -> None:
        """Add an entry, unless it is there."""

    def refuse(self, why: str) -> None:
        """Note that the present row is not booked."""

    def entry(self, guid: str) -> LedgerEntry | None:
        """Return an entry."""


def book_transfer(desk: PostingDesk, settled: TransferSettled, one: AuthorizedTransfer | None) -> None:
    """Book a transfer between the bank and brokers that is done; `one` is what was authorized, if anything was."""
    if one is None:
        desk.refuse(f"transfer {settled.transfer_id} was settled and never authorized")
        return
    amount = to_units(one.amount)
    broker = one.source if one.destination == RESERVE else one.destination
    occasion = desk.occasion(
        "transfer", one.transfer_id, at=settled.at, source=Source.TREASURY, broker=broker,
        confirmation=settled.bank_id or one.transfer_id,
    )  # fmt: skip
    text = f"{one.source} sends {plain(one.amount)} dollars to {one.destination}"
    if one.source == RESERVE:
        desk.book(occasion, Template.FLOAT_IN, lambda: float_in_lines(desk.mode, broker, amount), text)
    elif one.destination == RESERVE:
        desk.book(occasion, Template.FLOAT_OUT, lambda: float_out_lines(desk.mode, broker, amount), text)
    else:
        pair = ((Role.CASH, one.destination), (Role.CASH, one.source))
        desk.book(occasion, Template.FLOAT_MOVED, lambda: between(desk.mode, *pair, amount), text)


def contract_of(symbol: str) -> Contract | None:
    """Return what an option's symbol says; None where it is no option's."""
    found = _OCC.fullmatch(symbol)
    if found is None:
        return None
    strike = exact(found["strike"]) / _STRIKE_SCALE
    return Contract(underlying=found["root"], is_put=found["right"] == "P", strike=strike)


def objection(posted: LedgerPosting) -> str:
    """Return what is wrong with a posting as such; empty where nothing is."""
    kind = posted.kind
    if not posted.reference.strip():
        return "a posting needs the reference of the document behind it"
    if kind is PostingKind.REVERSAL:
        return ""
    if (kind is PostingKind.INFRASTRUCTURE) is bool(posted.broker):
        return "an infrastructure cost belongs to no broker" if posted.broker else f"a {kind} needs its broker"
    if kind in _CONTRACTS:
        if contract_of(posted.instrument) is None:
            return f"{posted.instrument!r} is not the OCC symbol of an option, such as AAA250919P00050000"
        return "" if posted.quantity > ZERO else "a number of contracts above zero is needed"
    if posted.amount == ZERO or (posted.amount < ZERO and kind is not PostingKind.INTEREST):
        return f"an amount above zero is needed, not {plain(posted.amount)}"
    return ""


def book_posting(desk: PostingDesk, posted: LedgerPosting) -> None:
    """Book one posting, or have it noted why it is not booked."""
    why = objection(posted)
    if why:
        desk.refuse(why)
        return
    broker = posted.broker
    source = Source.BROKER if posted.from_broker else Source.OPERATOR
    occasion = desk.occasion(
        "posting", posted.kind, broker, posted.reference, at=posted.at, source=source, day=posted.day, broker=broker,
        confirmation=posted.reference,
    )  # fmt: skip
    text = f"{posted.why} ({posted.kind.replace('_', ' ')}, by {posted.by})"
    amount = to_units(posted.amount)
    match posted.kind:
        case PostingKind.FLOAT_IN:
            desk.book(occasion, Template.FLOAT_IN, lambda: float_in_lines(desk.mode, broker, amount), text)
        case PostingKind.FLOAT_OUT:
            desk.book(occasion, Template.FLOAT_OUT, lambda: float_out_lines(desk.mode, broker, amount), text)
        case PostingKind.EXPIRY | PostingKind.ASSIGNMENT:
            _contracts(desk, occasion, posted, text)
        case PostingKind.REVERSAL:
            _reversal(desk, posted, text)
        case _:
            template, debit, credit = _MONEY[posted.kind]
            desk.book(occasion, template, lambda: _pair(desk.mode, debit, credit, broker, amount), text)


def _pair(mode: Mode, debit: Role, credit: Role, broker: str, amount: int) -> list[LedgerLine]:
    def side(role: Role) -> tuple[Role, str]:
        return role, "" if role in _OF_NO_BROKER else broker

    return between(mode, side(debit), side(credit), amount)


def _contracts(desk: PostingDesk, occasion: Occasion, posted: LedgerPosting, text: str) -> None:
    contract = contract_of(posted.instrument)
    held = desk.lots.held(posted.broker, posted.instrument)
    asked = quantity_units(posted.quantity)
    if contract is None or abs(held) < asked:
        desk.refuse(f"{posted.broker} does not hold {plain(posted.quantity)} of {posted.instrument}")
        return
    sign = 1 if held > 0 else -1
    option = Movement(
        broker=posted.broker, instrument=posted.instrument, quantity=-sign * asked, principal=0,
        fees=to_units(posted.amount),
    )  # fmt: skip
    if posted.kind is PostingKind.EXPIRY:
        desk.book(occasion, Template.EXPIRY, lambda: movement_lines(occasion, option, desk.lots), text)
        return
    direction = -sign if contract.is_put else sign
    money = -direction * product_units(contract.strike, posted.quantity, SHARES)
    shares = direction * quantity_units(posted.quantity * SHARES)
    desk.book(
        occasion,
        Template.ASSIGNMENT,
        lambda: assignment_lines(occasion, option, money, shares, contract.underlying, desk.lots),
        text,
    )


def _reversal(desk: PostingDesk, posted: LedgerPosting, text: str) -> None:
    wrong = desk.entry(posted.reference)
    if wrong is None:
        desk.refuse(f"there is no entry {posted.reference} to be taken back")
        return
    if wrong.source not in {Source.OPERATOR, Source.BROKER} or any(line.quantity for line in wrong.lines):
        desk.refuse(f"entry {wrong.guid} was not posted, or moves a position: the venue's own correction takes it back")
        return
    occasion = desk.occasion(
        "posting reversed", wrong.guid, at=posted.at, source=Source.OPERATOR, day=posted.day, broker=wrong.broker,
        confirmation=wrong.confirmation, reverses=wrong.guid,
    )  # fmt: skip
    desk.book(occasion, Template.REVERSAL, lambda: reversal_lines(wrong), text)


__all__ = ["Contract", "book_posting", "book_transfer", "contract_of", "objection"]

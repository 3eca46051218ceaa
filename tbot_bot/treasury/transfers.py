"""Carrying authorized transfers out, each once, whatever dies in between.

Every transfer is written down before the bank is asked and again when it is settled. One that was asked and not
settled is looked up among the bank's own transactions before anything is sent; what is sent again has the same
idempotency key. So there are three walls against paying twice: the lookup, the key, and the bank's own refusal of
the same transfer within a day.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tbot_bot.config.error_handler import NetworkError, TbotError
from tbot_bot.core.bank import Bank, BankTransaction, TransferOrder
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import DAY, Duration, Instant, iso, later
from tbot_bot.treasury.bank_errors import BankRefused, TransferRefused
from tbot_bot.treasury.float_book import Pending
from tbot_bot.treasury.records import AuthorizedTransfer, Outcome, TransferAsked, TransferRow, TransferSettled

SAME_TRANSFER_SPAN: Final[Duration] = DAY
"""Within this the bank refuses the same amount between the same accounts, and later it surely shows what it booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """Nobody knows whether the bank has done it; the next run looks it up first."""

    transfer_id: str
    text: str


Result = TransferSettled | InDoubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Cashier:
    """Who carries transfers out: a bank, a journal to write to, and a clock (real time)."""

    bank: Bank
    write: Callable[[TransferRow], None]
    """Returns when the row is durable."""
    now: Callable[[], Instant]

    async def carry_out(self, pending: Iterable[Pending]) -> tuple[Result, ...]:
        """Settle `pending` in turn and stop at the first that stays in doubt.

        Raises:
            TbotError: the bank could not be asked what accounts there are; nothing was sent.
            JournalError: a row could not be written; nothing was sent that is not on record.
        """
        results: list[Result] = []
        waiting = tuple(pending)
        active = frozenset(account.account_id for account in await self.bank.accounts() if account.active)
        for one in waiting:
            results.append(await self._settle(one, active))
            if isinstance(results[-1], InDoubt):
                break
        return tuple(results)

    async def _settle(self, pending: Pending, active: frozenset[str]) -> Result:
        one, asked_at = pending.transfer, pending.asked_at
        try:
            if asked_at is not None:
                found = await self._booked(one, asked_at)
                if found is not None:
                    return self._end_by(one, found, "found among the bank's transactions")
                objection = self._too_old(asked_at, "the bank has not booked it in the day since it was asked")
            else:
                objection = self._too_old(pending.authorized_at, "the authorization is more than a day old")
                objection = objection or await self._unfit(one, active)
        except (NetworkError, BankRefused) as error:
            return InDoubt(transfer_id=one.transfer_id, text=f"nothing was sent now: {error}")
        if objection:
            return self._end(one, Outcome.REFUSED, "", f"nothing was sent: {objection}")
        return await self._send(one, asked_at)

    def _too_old(self, since: Instant, words: str) -> str:
        """Return `words` where `since` is so long ago that the floats are others now."""
        return words if self.now() >= later(since, SAME_TRANSFER_SPAN) else ""

    async def _unfit(self, one: AuthorizedTransfer, active: frozenset[str]) -> str:
        """Return what is wrong with the transfer's accounts; empty where nothing is."""
        for name, account in ((one.source, one.source_account), (one.destination, one.destination_account)):
            if account not in active:
                return f"the bank has no account in use with the id that float_accounts.csv gives {name}"
        available = (await self.bank.account(one.source_account)).available
        if available < one.amount:
            return f"{one.source} has {available:.2f} of {one.amount:.2f} dollars at the bank"
        return ""

    async def _send(self, one: AuthorizedTransfer, asked_at: Instant | None) -> Result:
        now = self.now()
        first_asked = asked_at or now
        self.write(TransferAsked(at=now, transfer_id=one.transfer_id, idempotency_key=one.idempotency_key))
        order = TransferOrder(
            source_account=one.source_account,
            destination_account=one.destination_account,
            amount=one.amount,
            note=one.note,
            idempotency_key=one.idempotency_key,
        )
        try:
            bank_id = await self.bank.transfer(order)
        except (NetworkError, BankRefused) as error:
            return await self._after_trouble(one, error, first_asked, sent_before=asked_at is not None)
        return self._end(one, Outcome.DONE, bank_id, "")

    async def _after_trouble(
        self, one: AuthorizedTransfer, error: TbotError, first_asked: Instant, *, sent_before: bool
    ) -> Result:
        """Find out what the bank has done, where its answer was a no or was none."""
        try:
            found = await self._booked(one, first_asked)
            twin = await self._twin(one) if found is None and isinstance(error, TransferRefused) else None
        except (NetworkError, BankRefused) as second:
            return InDoubt(transfer_id=one.transfer_id, text=f"{error}; looking it up failed too: {second}")
        if found is not None:
            return self._end_by(one, found, f"found among the bank's transactions after: {error}")
        if not isinstance(error, BankRefused):
            return InDoubt(transfer_id=one.transfer_id, text=f"{error}; the bank does not show it yet")
        if sent_before:
            # the no may be about our own earlier try, which the bank does not show yet
            text = f"{error}; it was asked before, so that is not final until a day has passed"
            return InDoubt(transfer_id=one.transfer_id, text=text)
        text = str(error)
        if twin is not None:
            at = "" if twin.created_at is None else f" at {iso(twin.created_at)}"
            text += (
                f"; the bank takes the same amount between the same accounts once in 24 hours, and has booked one{at}"
            )
        return self._end(one, Outcome.REFUSED, "", text)

    async def _booked(self, one: AuthorizedTransfer, first_asked: Instant) -> BankTransaction | None:
        """Return what the bank has booked under this transfer's own id; the one that went through, if any did."""
        since = exchange_time(later(first_asked, -DAY)).date()
        name = re.compile(rf"{re.escape(one.transfer_id)}(?![0-9])")
        found = [
            booked for booked in await self.bank.transactions(one.source_account, since) if name.search(booked.note)
        ]
        return next((booked for booked in found if not booked.failed), found[0] if found else None)

    async def _twin(self, one: AuthorizedTransfer) -> BankTransaction | None:
        """Return another transfer of the same amount between the same accounts within the last day."""
        earliest = later(self.now(), -SAME_TRANSFER_SPAN)
        for booked in await self.bank.transactions(one.source_account, exchange_time(earliest).date()):
            is_recent = booked.created_at is None or booked.created_at >= earliest
            between = booked.counterparty_id in {"", one.destination_account}
            if is_recent and between and booked.amount == -one.amount and not booked.failed:
                return booked
        return None

    def _end_by(self, one: AuthorizedTransfer, found: BankTransaction, text: str) -> TransferSettled:
        if found.failed:
            return self._end(one, Outcome.REFUSED, found.transaction_id, f"the bank has given it up; {text}")
        return self._end(one, Outcome.DONE, found.transaction_id, text)

    def _end(self, one: AuthorizedTransfer, outcome: Outcome, bank_id: str, text: str) -> TransferSettled:
        row = TransferSettled(at=self.now(), transfer_id=one.transfer_id, outcome=outcome, bank_id=bank_id, text=text)
        self.write(row)
        return row


__all__ = ["SAME_TRANSFER_SPAN", "Cashier", "InDoubt", "Result"]

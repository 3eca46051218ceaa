"""`tbot float transfer --authorize`: a person's word, put on record, then carried out at the bank.

What an earlier authorization has left undone is finished first, and alone.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import ConfigError, ConfigProblem, TbotError
from tbot_bot.config.settings import ENV_FILE, Settings, load_settings
from tbot_bot.core.instants import SECOND
from tbot_bot.core.money import ZERO
from tbot_bot.journal.store import Entry, Journal, Kind
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.float_desk import bank_objection, float_records, view_of
from tbot_bot.runtime.kill_switch import engaged
from tbot_bot.runtime.locks import AlreadyRunning, Lock
from tbot_bot.trading.float_bot import RebalancePlan
from tbot_bot.treasury.accounts import ACCOUNTS_FILE, TEMPLATE, FloatAccounts, load_accounts
from tbot_bot.treasury.float_book import Pending
from tbot_bot.treasury.mercury import Mercury
from tbot_bot.treasury.records import AuthorizedTransfer, TransferRow, authorization_of
from tbot_bot.treasury.transfers import Cashier, Result

FLOAT_LOCK: Final = "float.lock"


class FloatsBusy(TbotError):
    """Another process is moving floats."""

    code = "ALREADY_RUNNING"


class TransfersHalted(TbotError):
    """The kill switch is engaged: nothing moves."""

    code = "HALTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What one run has carried out."""

    resumed: bool
    """It finished what was authorized earlier, and authorized nothing."""
    plan: RebalancePlan | None
    """The plan of this run; None where it resumed."""
    transfers: tuple[AuthorizedTransfer, ...]
    results: tuple[Result, ...]
    """In the order of `transfers`; shorter where one stayed in doubt."""


def carry_out(home: Path, *, by: str, why: str, from_reserve: Decimal = ZERO) -> Carried:
    """Authorize the plan of this moment and carry it out, or finish what is under way.

    Raises:
        ConfigError: the bank is not configured, or test mode forbids it.
        FloatsBusy, TransfersHalted: nothing was done.
        TbotError: the journal could not be written, or the bank not be asked; whatever is under way is on record.
    """
    settings = load_settings(home, defaults_if_absent=True)
    _require_bank(settings)
    accounts = _require_accounts(home)
    control = home / settings.env.control_dir
    records = float_records(settings)
    with ExitStack() as stack:
        try:
            stack.enter_context(Lock(control / FLOAT_LOCK))
        except AlreadyRunning as error:
            what = f"floats are being moved by another process (pid {error.pid or 'unknown'})"
            raise FloatsBusy(what, where=FLOAT_LOCK, mend="Wait for its end.") from None
        if engaged(home, control):
            raise TransfersHalted(
                "the kill switch is engaged; no money is moved",
                where="tbot float transfer",
                mend='Look into it, then `tbot resume --why "..."`.',
            )
        journal = stack.enter_context(Journal.open(records.journal, records.mode))
        view = view_of(settings, journal, accounts, from_reserve=from_reserve)
        waiting = view.book.pending()
        if waiting:
            results = asyncio.run(_settle(settings, journal, waiting))
            return Carried(resumed=True, plan=None, transfers=tuple(one.transfer for one in waiting), results=results)
        if not view.plan.transfers:
            return Carried(resumed=False, plan=view.plan, transfers=(), results=())
        _require_ids(view.plan, accounts)
        row = authorization_of(view.plan, accounts.ids, at=wall_now(), by=by, why=why, from_reserve=from_reserve)
        _write(journal, row)
        waiting = tuple(Pending(transfer=one, authorized_at=row.at, asked_at=None) for one in row.transfers)
        results = asyncio.run(_settle(settings, journal, waiting))
        return Carried(resumed=False, plan=view.plan, transfers=row.transfers, results=results)


async def _settle(settings: Settings, journal: Journal, waiting: Sequence[Pending]) -> tuple[Result, ...]:
    env, bot = settings.env, settings.bot
    async with Mercury(
        env.mercury_url,
        env.mercury_api_token.get_secret_value(),
        deadline_seconds=bot.api_timeout / SECOND,
        tries=1 + bot.api_retry_limit,
    ) as bank:
        return await Cashier(bank=bank, write=lambda row: _write(journal, row), now=wall_now).carry_out(waiting)


def _write(journal: Journal, row: TransferRow) -> None:
    journal.append([Entry.of(row, kind=Kind.CONTROL, at=row.at, recorded_at=row.at)])


def _require_bank(settings: Settings) -> None:
    objection = bank_objection(settings)
    if objection:
        variable = "MERCURY_URL" if settings.env.mercury_api_token.get_secret_value() else "MERCURY_API_TOKEN"
        expected = f"a bank that may be asked; {objection}"
        mend = "`tbot float plan` shows what would be sent"
        raise ConfigError([ConfigProblem(file=ENV_FILE, variable=variable, expected=expected, mend=mend)])


def _require_accounts(home: Path) -> FloatAccounts:
    accounts = load_accounts(home)
    if accounts is None:
        expected = "the file that names the bank's account of each broker"
        raise ConfigError(
            [ConfigProblem(file=ACCOUNTS_FILE, expected=expected, mend=f"copy {TEMPLATE} and fill it in")]
        )
    return accounts


def _require_ids(plan: RebalancePlan, accounts: FloatAccounts) -> None:
    names = dict.fromkeys(name for one in plan.transfers for name in (one.source, one.destination))
    missing = [name for name in names if name not in accounts.ids]
    if missing:
        raise ConfigError(
            ConfigProblem(file=ACCOUNTS_FILE, expected=f"a line for {name}", mend="add it") for name in missing
        )


__all__ = ["Carried", "FloatsBusy", "TransfersHalted", "carry_out"]

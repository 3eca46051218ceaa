"""Commands on the ledger: show, verify, book, post, export, lock."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.journal.ledger_posting import PostingKind
from tbot_bot.runtime.cli_output import (
    DONE,
    FAILED,
    JsonValue,
    complain,
    console,
    day_of,
    emit_json,
    printable,
    user_name,
)
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting, work

if TYPE_CHECKING:
    from tbot_bot.accounting.entries import StoredEntry
    from tbot_bot.accounting.ledger_reader import LedgerReader
    from tbot_bot.runtime.ledger_desk import LedgerView

_DAYS_SHOWN: Final = 10
Books = Annotated[Mode, typer.Option("--mode", help="Which books: live or paper.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept with the record.")]


class Form(StrEnum):
    """What a ledger can be exported to."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"
    MANAGER_TSV = "manager-tsv"
    MANAGER_API = "manager-api"
    MANAGER_FILE = "manager-file"
    MANAGER_MAPPING = "manager-mapping"
    RESULTS = "results"
    POSITIONS = "positions"
    TAX_LOTS = "tax-lots"
    PAPER_AND_LIVE = "paper-and-live"
    AUDIT_CSV = "audit-csv"
    AUDIT_JSON = "audit-json"
    SQLITE_DUMP = "sqlite-dump"


def money_of(text: str) -> Decimal:
    """Read dollars.

    Raises:
        typer.BadParameter: not a number.
    """
    from tbot_bot.core.money import exact  # noqa: PLC0415 - `--help` stays fast

    try:
        return exact(text)
    except ValueError:
        msg = f"{text!r} is not a number; write it as 45.90"
        raise typer.BadParameter(msg) from None


def show(
    *,
    mode: Books = Mode.PAPER,
    day: Annotated[
        date | None, typer.Option(parser=day_of, metavar="DAY", help="Also the entries of this day, as 2025-09-02.")
    ] = None,
    trade: Annotated[str, typer.Option(metavar="ID", help="Also the entries of this trade.")] = "",
    as_json: Json = False,
) -> int:
    """Show the trial balance, what is held and how the days stand; entries with --day or --trade."""
    from tbot_bot.accounting.ledger_reader import open_ledger_reader  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.runtime import ledger_desk  # noqa: PLC0415

    config = ledger_desk.books_of(tbot_home(), mode)
    view = ledger_desk.look(config)
    with open_ledger_reader(config.ledger) as ledger:
        wanted = list(ledger.entries(day=day, trade_id=trade)) if day or trade else []
        if as_json:
            emit_json(_view_json(view, ledger, wanted))
            return DONE
        _print_view(view, ledger)
        _print_entries(wanted, ledger)
    if (day or trade) and not wanted:
        typer.echo("no such entries")
    return DONE


def verify(*, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Compute the ledger again from the journal and compare everything. Exit status 1: what is wrong is named."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import ledger_desk  # noqa: PLC0415

    config = ledger_desk.books_of(tbot_home(), mode)
    with work("computing the ledger again") as under_way:
        found = ledger_desk.prove(config, under_way.reach)
    if as_json:
        emit_json(
            {
                "sound": found.sound,
                "entries": found.entries,
                "lines": found.lines,
                "journal_row": found.journal_seq,
                "reconciliations": found.reconciliations,
                "faults": list(found.faults),
                "not_booked": [f"row {one.journal_seq}: {one.why}" for one in found.not_booked],
            }
        )
        return DONE if found.sound else FAILED
    for fault in found.faults:
        typer.echo(f"wrong: {printable(fault)}")
    for one in found.not_booked:
        typer.echo(f"not booked: row {one.journal_seq} ({one.session or 'no session'}): {printable(one.why)}")
    words = "sound" if found.sound else "NOT SOUND"
    typer.echo(
        f"{config.ledger.name}: {words}; {found.entries} entries, {found.lines} lines, compared with the journal up to "
        f"row {found.journal_seq} and with {found.reconciliations} reconciliations"
    )
    return DONE if found.sound else FAILED


def book(*, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Book what the journal has and the ledger has not. The end of each day does this by itself."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import ledger_desk  # noqa: PLC0415

    home = tbot_home()
    with waiting("booking"):
        done = ledger_desk.book_now(ledger_desk.books_of(home, mode, load_settings(home, defaults_if_absent=True)))
    if as_json:
        emit_json(
            {
                "entries": done.entries,
                "days": [day.isoformat() for day in done.days],
                "journal_row": done.journal_seq,
                "not_booked": [f"row {one.journal_seq}: {one.why}" for one in done.not_booked],
            }
        )
        return DONE
    for one in done.not_booked:
        typer.echo(f"not booked: row {one.journal_seq} ({one.session or 'no session'}): {printable(one.why)}")
    days = f" of {', '.join(day.isoformat() for day in done.days)}" if done.days else ""
    typer.echo(f"{done.entries} entries{days} booked, up to journal row {done.journal_seq}")
    return DONE


def post(
    kind: Annotated[PostingKind, typer.Argument(help="What is booked.")],
    *,
    why: Why,
    reference: Annotated[str, typer.Option(metavar="TEXT", help="Of the document; again the same changes nothing.")],
    amount: Annotated[Decimal, typer.Option(parser=money_of, metavar="DOLLARS", help="As 45.90.")] = Decimal(0),
    broker: Annotated[str, typer.Option(metavar="NAME", help="Whose account; none for infrastructure.")] = "",
    day: Annotated[date | None, typer.Option(parser=day_of, metavar="DAY", help="Booked on; today.")] = None,
    instrument: Annotated[str, typer.Option(metavar="OCC", help="Contracts that expired or were assigned.")] = "",
    quantity: Annotated[Decimal, typer.Option(parser=money_of, metavar="NUMBER", help="How many.")] = Decimal(0),
    mode: Books = Mode.PAPER,
) -> int:
    """Book what no execution brings: infrastructure costs, dividends, interest, fees, floats, expiries."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import ledger_desk, ledger_post  # noqa: PLC0415

    home = tbot_home()
    config = ledger_desk.books_of(home, mode, load_settings(home, defaults_if_absent=True))
    asked = ledger_post.Asked(
        by=user_name("tbot ledger post"),
        why=why,
        kind=kind,
        reference=reference,
        amount=amount,
        broker=broker,
        day=day,
        instrument=instrument,
        quantity=quantity,
    )
    posted = ledger_post.post(config, asked)
    typer.echo(posted or f"{kind} {reference} is booked already; nothing changed")
    return DONE


def export(
    *,
    to: Annotated[Form, typer.Option("--to", metavar="FORM", help=f"{', '.join(Form)}.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Replaced whole; a folder for manager-tsv.")],
    mapping: Annotated[
        Path | None, typer.Option("--mapping", metavar="FILE", help="For manager-tsv and -api: columns and accounts.")
    ] = None,
    identical: Annotated[
        Path | None,
        typer.Option("--identical", metavar="FILE", help="For tax-lots: identical symbols, a group a line."),
    ] = None,
    mode: Books = Mode.PAPER,
) -> int:
    """Write the ledger in the form of another program, or a table made from it."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import ledger_desk, ledger_export  # noqa: PLC0415

    if mapping is not None and to not in {Form.MANAGER_TSV, Form.MANAGER_API}:
        complain(f"--mapping is for {Form.MANAGER_TSV} and {Form.MANAGER_API}.")
        return FAILED
    if identical is not None and to is not Form.TAX_LOTS:
        complain(f"--identical is for {Form.TAX_LOTS}.")
        return FAILED
    home = tbot_home()
    asked = ledger_export.ExportAsked(form=to.value, out=out, mapping=mapping, identical=identical)
    typer.echo(f"{out}: {ledger_export.export(home, ledger_desk.books_of(home, mode), asked)}")
    return DONE


def push(
    *,
    mapping: Annotated[Path, typer.Option("--mapping", metavar="FILE", help="The accounts' GUIDs in that business.")],
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Post to the Manager.io business at MANAGER_URL what it does not have yet; again the same changes nothing."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import ledger_desk, ledger_push  # noqa: PLC0415

    home = tbot_home()
    settings = load_settings(home, defaults_if_absent=True)
    with work("posting") as under_way:
        done = ledger_push.push_to_company_books(ledger_desk.books_of(home, mode), settings, mapping, under_way.reach)
    if as_json:
        emit_json({"posted": done.posted, "there_before": done.there_before})
        return DONE
    typer.echo(f"{done.posted} documents posted, {done.there_before} were there before")
    return DONE


def lock(
    day: Annotated[date, typer.Argument(parser=day_of, metavar="DAY", help="The day, as 2025-09-02.")],
    *,
    why: Why,
    reopen: Annotated[bool, typer.Option("--reopen", help="Open a locked day again.")] = False,
    decommission: Annotated[bool, typer.Option("--decommission", help="Close the day for good.")] = False,
    mode: Books = Mode.PAPER,
) -> int:
    """Lock a day: no entry is written into it any more."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import ledger_desk  # noqa: PLC0415

    if reopen and decommission:
        complain("--reopen and --decommission exclude each other.")
        return FAILED
    state = ledger_desk.lock_day(
        ledger_desk.books_of(tbot_home(), mode),
        day,
        who=user_name("tbot ledger lock"),
        why=why,
        reopen=reopen,
        decommission=decommission,
    )
    typer.echo(f"{day.isoformat()} is {'locked' if state.locked else 'open'} ({state.status}), {state.entries} entries")
    return DONE


def _print_view(view: "LedgerView", ledger: "LedgerReader") -> None:
    from rich.table import Table  # noqa: PLC0415 - not needed for JSON

    from tbot_bot.accounting.units import spelled  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("account", footer="trial balance", overflow="fold")
    total = sum(one.amount for one in view.balances)
    table.add_column("dollars", justify="right", footer=spelled(total), no_wrap=True)
    for one in view.balances:
        table.add_row(one.account.name, spelled(one.amount))
    out = console()
    out.print(table)
    for lot in ledger.open_lots():
        typer.echo(f"held: {spelled(lot.quantity, 0)} {lot.instrument} at {lot.broker} for {spelled(lot.cost)}")
    for state in view.days[-_DAYS_SHOWN:]:
        flags = [
            "locked" if state.locked else "open",
            *(["synced"] if state.synced_to else []),
            *(["reconciled"] if state.reconciled_to else []),
        ]
        typer.echo(f"{state.day.isoformat()}: {state.entries} entries, {', '.join(flags)} ({state.status})")
    typer.echo(
        f"{view.path.name}: {view.entries} entries, booked to journal row {view.booked_to} of {view.journal_head}"
    )


def _print_entries(entries: "list[StoredEntry]", ledger: "LedgerReader") -> None:
    from tbot_bot.accounting.units import spelled  # noqa: PLC0415
    from tbot_bot.core.instants import iso  # noqa: PLC0415

    names = {one.guid: one.name for one in ledger.accounts()}
    for stored in entries:
        entry = stored.entry
        typer.echo(f"\n{stored.number}  {iso(entry.at)}  {entry.template}  {printable(entry.text)}")
        typer.echo(f"   {entry.guid}  {entry.confirmation}  {entry.trade_id}".rstrip())
        for line in entry.lines:
            moved = f"  ({spelled(line.quantity, 0)} {line.instrument})" if line.instrument else ""
            typer.echo(f"   {names[line.account]:<44} {spelled(line.amount):>20}{moved}")


def _view_json(view: "LedgerView", ledger: "LedgerReader", entries: "list[StoredEntry]") -> JsonValue:
    from tbot_bot.accounting.units import spelled  # noqa: PLC0415
    from tbot_bot.runtime.ledger_desk import entry_json  # noqa: PLC0415

    balances: list[JsonValue] = [
        {"account": one.account.name, "guid": one.account.guid, "kind": one.account.kind, "amount": spelled(one.amount)}
        for one in view.balances
    ]
    days: list[JsonValue] = [
        {"day": one.day.isoformat(), "entries": one.entries, "locked": one.locked, "status": one.status}
        for one in view.days
    ]
    lots: list[JsonValue] = [
        {
            "lot": lot.guid,
            "broker": lot.broker,
            "instrument": lot.instrument,
            "quantity": spelled(lot.quantity, 0),
            "cost": spelled(lot.cost),
        }
        for lot in ledger.open_lots()
    ]
    return {
        "ledger": str(view.path),
        "mode": view.mode,
        "entries": view.entries,
        "booked_to": view.booked_to,
        "journal_head": view.journal_head,
        "trial_balance": spelled(sum(one.amount for one in view.balances)),
        "accounts": balances,
        "lots": lots,
        "days": days,
        "listed": [entry_json(stored, ledger) for stored in entries],
    }

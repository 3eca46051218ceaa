"""`tbot reconcile`: compare a day with its brokers again."""

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import DONE, FAILED, complain, day_of, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.runtime.reconciliation_desk import Reconciliation


def reconcile(
    day: Annotated[
        date | None,
        typer.Argument(
            parser=day_of, metavar="DAY", help="Trading day; the last one.", autocompletion=cli_complete.days
        ),
    ] = None,
    *,
    mode: Annotated[Mode, typer.Option("--mode", help="Which books: live or paper.")] = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Compare a day's orders, fills, positions, cash and fees with each broker. Exit status 1: something differs."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime import reconciliation_desk  # noqa: PLC0415

    home = tbot_home()
    settings = load_settings(home, defaults_if_absent=True)
    records = records_for(home, mode, test_mode=False)
    with waiting("asking the brokers"):
        chosen = day or reconciliation_desk.last_day(records)
        found = asyncio.run(reconciliation_desk.reconcile_day(settings, records, chosen))
    if found is None:
        complain(f"{chosen.isoformat()} has no {mode} session; `tbot journal show` tells which days have")
        return FAILED
    if as_json:
        emit_json(to_plain(found))
    else:
        _show(found)
        typer.echo(f"report: {records.reconciliation(chosen)}")
    return DONE if found.passed else FAILED


def _show(found: "Reconciliation") -> None:
    """Print what was compared, and what is wrong."""
    from tbot_bot.core.money import plain  # noqa: PLC0415 - `--help` stays fast

    for one in found.brokers:
        word = "agrees" if one.passed else f"{len(one.differences)} differences"
        typer.echo(
            f"{one.broker} ({one.account}): {word}; {one.orders} orders, {one.fills} fills, "
            f"cash {one.cash_told:.2f}, fees {one.fees:.2f}"
        )
        for difference in one.differences:
            typer.echo(f"  differs: {printable(difference.text)}")
        for missing in one.not_compared:
            typer.echo(f"  not compared: {missing.figure}: {printable(missing.why)}")
        for held in one.foreign_positions:
            typer.echo(f"  not ours: {plain(held.quantity)} {printable(held.symbol)}")
        for order in one.foreign_orders:
            typer.echo(f"  not ours: order {printable(order)}")
    for none in found.unreached:
        typer.echo(f"{none.broker}: NOT COMPARED: {printable(none.why)}")
    state = "passed" if found.passed else "NOT PASSED"
    typer.echo(f"{found.day.isoformat()} {found.mode}: {state}{', the ledger is locked' if found.locked else ''}")


__all__ = ["reconcile"]

"""`tbot reconcile`: compare a day with its brokers again."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.core.money import ZERO
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import DONE, FAILED, complain, day_of, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.accounting.attribution import Attribution, AttributionSums, TradeAttribution
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
    """Compare a day with each broker to the cent, and its trades with the simulator's.

    With the brokers: orders, fills, positions, cash and fees. Exit status 1: something differs at a broker, or the
    trades could not be simulated.
    """
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.config.error_handler import TbotError  # noqa: PLC0415
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime import attribution_desk, reconciliation_desk  # noqa: PLC0415

    home = tbot_home()
    settings = load_settings(home, defaults_if_absent=True)
    records = records_for(home, mode, test_mode=False)
    with waiting("asking the brokers"):
        chosen = day or reconciliation_desk.last_day(records)
        found = asyncio.run(reconciliation_desk.reconcile_day(settings, records, chosen))
    if found is None:
        complain(f"{chosen.isoformat()} has no {mode} session; `tbot journal show` tells which days have")
        return FAILED
    if not as_json:
        _show(found)
        typer.echo(f"report: {records.reconciliation(chosen)}")
    attribution = None
    try:
        attribution = attribution_desk.attribute_day(records, chosen)
    except (TbotError, OSError) as error:  # what the brokers say stands by itself
        complain(f"no attribution to the simulator: {error}")
    if as_json:
        told = None if attribution is None else to_plain(attribution)
        emit_json({**to_plain(found), "attribution": told})
    elif attribution is not None:
        _show_attribution(attribution)
        typer.echo(f"report: {records.attribution(chosen)}")
    return DONE if found.passed and attribution is not None else FAILED


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


def _show_attribution(found: "Attribution") -> None:
    """Print what each trade came to against the simulator's, and the sums."""
    head = ("real", "simulated", "slippage", "missed", "fees", "delay s")
    typer.echo("")
    typer.echo(f"{'against the simulator':<22}" + "".join(f"{word:>10}" for word in head[:5]) + f"{head[5]:>8}")
    for trade in found.trades:
        late = [one for one in (trade.entry_delay, trade.exit_delay) if one is not None]
        mark = "*" if trade.beyond_tape else ""
        _row(f"{trade.broker} {printable(trade.symbol)}{mark}", trade, sum(late, ZERO) / len(late) if late else None)
    for one in (*found.brokers, found.total):
        _row(f"{one.broker or 'all'}: {one.trades} ({one.missed} missed)", one, one.delay)
    if any(trade.beyond_tape for trade in found.trades):
        typer.echo("* ended in a bar that is on no tape: the executions in it were taken as they were")
    for none in found.not_compared:
        typer.echo(f"not compared: {printable(none.trade_id)}: {none.why}")


def _row(name: str, one: "TradeAttribution | AttributionSums", delay: Decimal | None) -> None:
    figures = (one.pnl, one.simulated_pnl, one.slippage, one.missed_fills, one.fees)
    late = "-" if delay is None else f"{delay:.1f}"
    typer.echo(f"{name:<22}" + "".join(f"{each:>10.2f}" for each in figures) + f"{late:>8}")


__all__ = ["reconcile"]

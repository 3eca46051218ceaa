"""The command of the independent dead-man's switch: guard."""

from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.runtime.cli_output import DONE, JsonValue, emit_json
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from pathlib import Path

    from tbot_bot.runtime.guard import GuardRules, Sight


def guard(
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once, act if it has to be, and end.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say what the guard would see; do nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Close or cancel by GUARD_POLICY when supervisor and runner are both silent for GUARD_TIMEOUT.

    Runs beside the bot, as a process of its own, until it is stopped. With --once, exit status 5 says that it has
    acted, and 1 that something could not be closed.
    """
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.core.identity import Mode  # noqa: PLC0415
    from tbot_bot.reporting.process_log import process_log  # noqa: PLC0415
    from tbot_bot.reporting.report_router import OutputPaths  # noqa: PLC0415
    from tbot_bot.runtime.background import say  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.guard import Guard, GuardRules  # noqa: PLC0415

    if (as_json and not status) or (once and status):
        msg = "--json goes with --status, and --once goes alone"
        raise typer.BadParameter(msg)
    home = tbot_home()
    rules = GuardRules.of(home)
    if status:
        _show(home, rules, asyncio.run(Guard(home, rules, say).sight()), as_json=as_json)
        return DONE
    with process_log(OutputPaths(home=home, mode=Mode.PAPER), "guard", wall_now) as log:

        def tell(text: str) -> None:
            say(text)
            log.warning("guard", text=text)

        if rules.problem:
            tell(rules.problem)
        at_work = Guard(home, rules, tell)
        return asyncio.run(at_work.once() if once else at_work.run())


def _show(home: "Path", rules: "GuardRules", sight: "Sight", *, as_json: bool) -> None:
    from tbot_bot.runtime.background import control_path  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.guard import GUARD_LOCK  # noqa: PLC0415
    from tbot_bot.runtime.guard_signs import last_deed  # noqa: PLC0415
    from tbot_bot.runtime.locks import holder  # noqa: PLC0415

    control = control_path(home)
    pid, deed = holder(control / GUARD_LOCK), last_deed(control)
    ever = bool(sight.signs.supervisor_at or sight.signs.runner_at)
    silent = round(sight.silent_seconds, 1) if ever else None
    if as_json:
        held: list[JsonValue] = [
            {
                "broker": book.broker,
                "trade_id": trade.trade_id,
                "symbol": trade.symbol,
                "quantity": str(trade.quantity),
                "protected": trade.protected,
            }
            for book in sight.books
            for trade in book.held
        ]
        done: dict[str, JsonValue] | None = None
        if deed is not None:
            done = {"state": deed.state, "policy": deed.policy, "at": deed.at, "why": deed.why, "outcome": deed.outcome}
        emit_json(
            {
                "guard_pid": pid,
                "timeout_seconds": rules.timeout_seconds,
                "policy": rules.policy.value,
                "settings_problem": rules.problem,
                "supervisor_holds_its_lock": bool(sight.signs.supervisor),
                "silent_seconds": silent,
                "held": held,
                "entries": [order_id for book in sight.books for order_id in book.entries],
                "problems": list(sight.problems),
                "last_deed": done,
            }
        )
        return
    typer.echo("guard: not running" if pid is None else f"guard: running (pid {pid or 'unknown'})")
    typer.echo(f"acts: {rules.policy} after {rules.timeout_seconds:g} s of silence")
    if rules.problem:
        typer.echo(f"warning: {rules.problem}", err=True)
    typer.echo("last sign of supervisor or runner: " + ("none" if silent is None else f"{silent:g} s ago"))
    typer.echo(f"open: {sight.words()}")
    for problem in sight.problems:
        typer.echo(f"warning: {problem}", err=True)
    if deed is not None:
        typer.echo(f"last deed: {deed.at} {deed.state} ({deed.policy}): {deed.outcome or deed.why}")

"""`tbot canary`: prove now that the way to the market works."""

from datetime import date
from typing import Annotated

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, day_of, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting


def canary(
    *,
    symbol: Annotated[
        str, typer.Option("--symbol", metavar="SYMBOL", help="Of quote and order; the first of UNIVERSE, or SPY.")
    ] = "",
    day: Annotated[
        date | None, typer.Option(parser=day_of, metavar="DAY", help="Trading day it counts for; the one in hand.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Try disk, journal, alerts and each broker, with an order far from the market. Exit status 1: something failed."""
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415
    from tbot_bot.core.identity import Mode  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime import canary as canaries  # noqa: PLC0415
    from tbot_bot.runtime.clock import RealClock, wall_now  # noqa: PLC0415
    from tbot_bot.runtime.market_source import is_embedded  # noqa: PLC0415
    from tbot_bot.runtime.supervisor_state import saved  # noqa: PLC0415

    home = tbot_home()
    settings = load_settings(home, defaults_if_absent=True)
    bot = settings.bot
    hand = saved(home / settings.env.control_dir)
    room = canaries.CanaryRoom(
        settings=settings,
        records=records_for(home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export),
        day=day or (exchange_time(wall_now()).date() if hand is None else hand.day),
        run=1 if hand is None else hand.run,
        quick=is_embedded(bot) or (hand is not None and not isinstance(hand.clock, RealClock)),
        symbol=symbol,
    )
    with waiting("trying the way to the market"):
        done = asyncio.run(canaries.canary(room))
    if as_json:
        emit_json(to_plain(done))
        return DONE if done.passed else FAILED
    for step in done.steps:
        typer.echo(f"{'ok    ' if step.passed else 'FAILED'} {step.name}: {printable(step.text)}")
    typer.echo(f"canary of {done.day.isoformat()}: {'passed' if done.passed else 'FAILED, no session begins'}")
    return DONE if done.passed else FAILED


__all__ = ["canary"]

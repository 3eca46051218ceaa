"""The command that runs the screener and says why each symbol passed or failed: screen."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.identity import StrategyName
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import DONE, JsonValue, console, emit_json, pairs_of
from tbot_bot.runtime.cli_run import Data, Day, Json, Sets
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tbot_bot.core.screening import Verdict
    from tbot_bot.runtime.requests import Overrides
    from tbot_bot.runtime.screen_now import SessionScreen


def screen(
    *,
    session: Annotated[
        StrategyName | None,
        typer.Option(help="Only this session; default: each of the day.", autocompletion=cli_complete.strategies),
    ] = None,
    explain: Annotated[str, typer.Option(metavar="SYMBOL", help="Every rule's answer about one symbol.")] = "",
    day: Day = None,
    data: Data = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Seed of the built-in market.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="The market as it is now, by the vendors whose keys .env has.")
    ] = False,
    settings: Sets = None,
    as_json: Json = False,
) -> int:
    """Screen a market and say why each symbol passed or failed."""
    _refuse_mixtures(day, data, seed, live=live)
    if live:
        return _live(session, explain.upper(), pairs_of(settings), as_json=as_json)
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import screen_now  # noqa: PLC0415

    with waiting("screening"):
        screens = screen_now.screen_day(
            tbot_home(), screen_now.Wanted(day=day, data=_absolute(data), seed=seed, session=session),
            overrides=pairs_of(settings),
        )  # fmt: skip
    if explain:
        screens = tuple(screen_now.only(found, explain.upper()) for found in screens)
        if not any(found.verdicts for found in screens):
            raise DataError(
                f"{explain.upper()} is not screened: the data or UNIVERSE lack it, or it is an inverse ETF",
                mend="`tbot screen` lists what is screened.",
            )
    if as_json:
        emit_json({"sessions": [_json(found) for found in screens]})
        return DONE
    out = console()
    for number, found in enumerate(screens):
        if number:
            out.print()
        for part in _explained(found) if explain else _table(found):
            out.print(part)
    return DONE


def _refuse_mixtures(day: date | None, data: Path | None, seed: int | None, *, live: bool) -> None:
    if live and (data is not None or day is not None or seed is not None):
        msg = "a live market is of today; leave --day, --data and --seed out"
        raise typer.BadParameter(msg, param_hint="'--live'")
    if data is not None and day is None:
        msg = "recorded bars need a day; give one, such as --day 2018-03-02"
        raise typer.BadParameter(msg, param_hint="'--day'")
    if data is not None and seed is not None:
        msg = "a seed makes a market and --data reads one; give one of them"
        raise typer.BadParameter(msg, param_hint="'--seed'")


def _live(session: StrategyName | None, symbol: str, overrides: "Overrides", *, as_json: bool) -> int:
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.runtime.screen_live import screen_live  # noqa: PLC0415

    with waiting("screening") as say:
        found = asyncio.run(
            screen_live(
                tbot_home(), session, symbol=symbol, overrides=overrides,
                progress=lambda done, of: say(f"screening: {done} of {of} symbols priced"),
            )
        )  # fmt: skip
    if as_json:
        sessions: list[JsonValue] = [_json(one) for one in found.screens]
        emit_json({
            "sessions": sessions, "notes": list(found.notes), "priced": dict(found.sources), "asked": dict(found.asked)
        })  # fmt: skip
        return DONE
    out = console()
    for one in found.screens:
        for part in _explained(one, alone=True) if symbol else _table(one):
            out.print(part)
        out.print()
    priced = ", ".join(f"{count} by {source}" for source, count in found.sources.items()) or "none"
    asked = ", ".join(f"{count} of {name}" for name, count in found.asked.items())
    out.print(f"priced: {priced}; requests: {asked}")
    for note in found.notes:
        out.print(f"note: {note}")
    return DONE


def _absolute(path: Path | None) -> Path | None:
    return path.absolute() if path else None


def _json(found: "SessionScreen") -> JsonValue:
    from tbot_bot.core.instants import iso  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    verdicts: list[JsonValue] = [to_plain(verdict) for verdict in found.verdicts]
    day: date = found.day
    return {"day": day.isoformat(), "session": found.strategy.value, "at": iso(found.at), "verdicts": verdicts}


def _heading(found: "SessionScreen") -> "RenderableType":
    from rich.text import Text  # noqa: PLC0415 - JSON does without

    from tbot_bot.core.instants import to_datetime  # noqa: PLC0415

    passed = sum(verdict.passed for verdict in found.verdicts)
    chosen = sum(verdict.rank > 0 for verdict in found.verdicts)
    counts = f"{len(found.verdicts)} symbols, {passed} passed, {chosen} candidates"
    when = f"{found.day.isoformat()}, screened as of {to_datetime(found.at):%H:%M} UTC"
    return Text.assemble((found.strategy.value.upper(), "bold"), f"  {when}: {counts}")


def _table(found: "SessionScreen") -> "tuple[RenderableType, ...]":
    from rich.table import Table  # noqa: PLC0415 - JSON does without
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in ("rank", "price", "score"):
        table.add_column(name, justify="right", no_wrap=True)
        if name == "rank":
            table.add_column("symbol", no_wrap=True)
    table.add_column("why", overflow="fold")
    for verdict in found.ranked():
        price = "-" if verdict.last_price is None else f"{verdict.last_price:.2f}"
        rank = str(verdict.rank) if verdict.rank else "-"
        style = "" if verdict.rank else "dim"
        table.add_row(rank, verdict.symbol, price, f"{verdict.score:.6f}", Text(_why(verdict)), style=style)
    return _heading(found), table


def _why(verdict: "Verdict") -> str:
    from tbot_bot.core.screening import Outcome  # noqa: PLC0415

    failed = [f"{rule.rule}: {rule.detail}" for rule in verdict.rules if rule.outcome is Outcome.FAILED]
    skipped = [rule.rule for rule in verdict.rules if rule.outcome is Outcome.SKIPPED]
    if failed:
        return f"failed {'; '.join(failed)}"
    words = "passed" if verdict.rank else "passed, but SCREENER_MAX_CANDIDATES are better"
    return f"{words}; not asked: {', '.join(skipped)}" if skipped else words


def _explained(found: "SessionScreen", *, alone: bool = False) -> "tuple[RenderableType, ...]":
    from rich.table import Table  # noqa: PLC0415 - JSON does without
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = []
    for verdict in found.verdicts:
        rank = f"rank {verdict.rank} of {found.candidates}" if verdict.rank else "no candidate"
        rank = "looked at alone" if alone else rank
        heading = f"  {found.day.isoformat()}  {verdict.symbol}: {'passed' if verdict.passed else 'failed'}, {rank}"
        parts.append(Text.assemble((found.strategy.value.upper(), "bold"), heading, f", score {verdict.score}"))
        table = Table.grid(padding=(0, 2))
        for rule in verdict.rules:
            table.add_row("", rule.rule, rule.outcome.value, Text(rule.detail))
        parts.append(table)
    return tuple(parts)

"""Commands of defense mode: how it stands, and a person's word to enter or leave it."""

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.runtime.cli_output import DONE, JsonValue, emit_json, user_name
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tbot_bot.config.env_bot import BotSettings
    from tbot_bot.runtime.defense_mode import DefenseRoom
    from tbot_bot.trading.defense import TriggerFound
    from tbot_bot.trading.defense_state import AdjustedLimit, Judgement

Reason = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the journal.")]


def show(*, as_json: Json = False) -> int:
    """Say whether the bot defends itself, why, and how far the way out is."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415
    from tbot_bot.runtime.defense_mode import look, moment_of, records_of  # noqa: PLC0415

    home = tbot_home()
    bot = load_settings(home, defaults_if_absent=True).bot
    path = records_of(home, bot).journal
    with ExitStack() as stack:
        journal = stack.enter_context(open_reader(path)) if path.exists() else None
        judged = None if journal is None else look(bot, journal, moment_of(bot, journal))
    _tell(bot, judged, as_json=as_json)
    return DONE


def enter(*, why: Reason, as_json: Json = False) -> int:
    """Enter defense mode. It takes effect with the next session."""
    from tbot_bot.runtime import defense_mode  # noqa: PLC0415 - `--help` stays fast

    with _room() as (room, told):
        judged = defense_mode.enter(room, by=user_name("tbot defense enter"), why=why)
    _tell(room.bot, judged, as_json=as_json)
    _say_when(told)
    return DONE


def leave(
    *,
    why: Reason,
    anyway: Annotated[bool, typer.Option("--anyway", help="Leave although a trigger still holds.")] = False,
    as_json: Json = False,
) -> int:
    """Leave defense mode. It takes effect with the next session. Refused while a trigger holds."""
    from tbot_bot.runtime import defense_mode  # noqa: PLC0415 - `--help` stays fast

    with _room() as (room, told):
        judged = defense_mode.leave(room, by=user_name("tbot defense leave"), why=why, anyway=anyway)
    _tell(room.bot, judged, as_json=as_json)
    _say_when(told)
    return DONE


@contextmanager
def _room() -> "Iterator[tuple[DefenseRoom, list[str]]]":
    """Give what a decision needs, and what came of it; the journal is made where there is none yet."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.journal.store import Journal  # noqa: PLC0415
    from tbot_bot.runtime.defense_mode import DefenseRoom, records_of  # noqa: PLC0415

    home = tbot_home()
    settings = load_settings(home, defaults_if_absent=True)
    records = records_of(home, settings.bot)
    with Journal.open(records.journal, records.mode) as journal:
        told: list[str] = []
        room = DefenseRoom(
            bot=settings.bot,
            records=records,
            journal=journal,
            control=home / settings.env.control_dir,
            warn=lambda title, text: told.append(f"{title}: {text}"),
        )
        yield room, told


def _say_when(told: "Sequence[str]") -> None:
    for line in told:
        typer.echo(line, err=True)
    ending = "it takes effect with the next session" if told else "the bot defends itself already; nothing was changed"
    typer.echo(ending, err=True)


def _tell(bot: "BotSettings", judged: "Judgement | None", *, as_json: bool) -> None:
    from tbot_bot.runtime.defense_mode import adjusted_limits  # noqa: PLC0415 - `--help` stays fast

    limits = adjusted_limits(bot)
    if as_json:
        emit_json(_json_of(bot, judged, limits))
        return
    for line in _lines(bot, judged, limits):
        typer.echo(line)


def _lines(bot: "BotSettings", judged: "Judgement | None", limits: "Sequence[AdjustedLimit]") -> "Iterator[str]":
    from tbot_bot.core.instants import iso  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.money import plain  # noqa: PLC0415
    from tbot_bot.trading.defense import EXIT_SESSIONS, EXIT_TRADES  # noqa: PLC0415

    active = bot.defense_mode_active if judged is None else judged.active
    yield f"defense mode is {'on' if active else 'off'}"
    if bot.defense_mode_active:
        yield "forced: DEFENSE_MODE_ACTIVE is true, and nothing ends it before that is false again"
    if judged is None:
        yield "there is no journal yet, so there is nothing to judge"
    else:
        entered, left = judged.standing.entered, judged.standing.left
        if entered is not None:
            yield f"entered {iso(entered.at)} by {entered.by}: {entered.why}"
        elif left is not None:
            yield f"left {iso(left.at)} by {left.by}: {left.why}"
        for found in judged.holding:
            yield f"holds on {judged.day}: {found.trigger}: {found.text}"
        if not judged.holding:
            yield f"no trigger holds on {judged.day}"
        if judged.standing.since:
            out = judged.way_out
            yield (
                f"way out: {out.trades} of {EXIT_TRADES} trades, {out.trades_won} won;"
                f" {out.sessions} of {EXIT_SESSIONS} sessions with {out.session_trades} trades,"
                f" {out.session_trades_won} won; more than 55 % are needed"
            )
    for one in limits:
        yield f"{one.name}: {plain(one.normal)}, in defense mode {plain(one.adjusted)}"


def _json_of(
    bot: "BotSettings", judged: "Judgement | None", limits: "Sequence[AdjustedLimit]"
) -> "dict[str, JsonValue]":
    from tbot_bot.core.money import plain  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    shown: dict[str, JsonValue] = {
        "active": bot.defense_mode_active if judged is None else judged.active,
        "forced_by_setting": bot.defense_mode_active,
        "day": None,
        "entered": None,
        "left": None,
        "holding": [],
        "way_out": None,
        "limits": [{"name": one.name, "normal": plain(one.normal), "adjusted": plain(one.adjusted)} for one in limits],
    }
    if judged is None:
        return shown
    standing = judged.standing
    shown["day"] = judged.day.isoformat()
    shown["entered"] = None if standing.entered is None else to_plain(standing.entered)
    shown["left"] = None if standing.left is None else to_plain(standing.left)
    shown["holding"] = _found(judged.holding)
    shown["way_out"] = to_plain(judged.way_out) if standing.since else None
    return shown


def _found(holding: "Sequence[TriggerFound]") -> "list[JsonValue]":
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415 - `--help` stays fast

    return [to_plain(found) for found in holding]


__all__ = ["enter", "leave", "show"]

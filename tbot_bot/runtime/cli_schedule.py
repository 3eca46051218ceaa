"""`tbot schedule`: the days ahead and their sessions, on three clocks."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, JsonValue, console, day_of, emit_json
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from tbot_bot.core.instants import Instant
    from tbot_bot.runtime.schedule import DayPlan, PlannedSession

_DAYS_MAX: Final = 1500


def schedule(
    *,
    days: Annotated[
        int, typer.Option(min=1, max=_DAYS_MAX, help="How many days, those without trading included.")
    ] = 10,
    first: Annotated[
        date | None, typer.Option("--from", parser=day_of, metavar="DAY", help="First day; default: today in New York.")
    ] = None,
    phases: Annotated[bool, typer.Option("--phases", help="Show when each phase begins, not only the start.")] = False,
    as_json: Json = False,
) -> int:
    """Print the coming sessions in UTC, New York time and local time, and why a day has none."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.schedule import plan_day, schedule_rules  # noqa: PLC0415
    from tbot_bot.runtime.schedule_text import schedule_lines  # noqa: PLC0415

    rules = schedule_rules(load_settings(tbot_home(), defaults_if_absent=True).bot)
    begin = first or exchange_time(wall_now()).date()
    if (date.max - begin).days <= days or begin == date.min:
        msg = f"the calendar does not reach {days} days beyond {begin.isoformat()}"
        raise typer.BadParameter(msg, param_hint="'--from'")
    plans = [plan_day(rules, begin + timedelta(days=offset)) for offset in range(days)]
    if as_json:
        emit_json({"days": [_plan_json(plan) for plan in plans]})
    elif phases:
        _print_phases(plans)
    else:
        out = console()
        for line in schedule_lines(rules, plans, out.width):
            out.print(line.text, style=line.style, soft_wrap=True)
    return DONE


def _phases(planned: "PlannedSession") -> tuple[tuple[str, "Instant"], ...]:
    windows = planned.windows
    return (
        ("screen", windows.screen_at),
        ("analysis", windows.start),
        ("breakout", windows.analysis_end),
        ("monitoring", windows.entry_end),
        ("out by", planned.ends_at),
    )


def _clocks(at: "Instant") -> dict[str, datetime]:
    from tbot_bot.runtime.schedule_text import three_clocks  # noqa: PLC0415

    return dict(zip(("utc", "exchange", "local"), three_clocks(at), strict=True))


def _clocks_json(at: "Instant") -> JsonValue:
    return {clock: moment.isoformat() for clock, moment in _clocks(at).items()}


def _plan_json(plan: "DayPlan") -> JsonValue:
    from tbot_bot.core.calendar import is_trading_day, trading_day  # noqa: PLC0415
    from tbot_bot.runtime.schedule_text import clock_changes  # noqa: PLC0415

    sessions: list[JsonValue] = [
        {
            "strategy": planned.strategy.value,
            "skipped": planned.skipped,
            "phases": {name.replace(" ", "_"): _clocks_json(at) for name, at in _phases(planned)},
        }
        for planned in plan.sessions
    ]
    bells = trading_day(plan.day) if is_trading_day(plan.day) else None
    exchange, local = clock_changes(plan.day)
    return {
        "day": plan.day.isoformat(),
        "closed": plan.closed,
        "early_close": plan.early,
        "exchange_opens": None if bells is None else _clocks_json(bells.open_at),
        "exchange_closes": None if bells is None else _clocks_json(bells.close_at),
        "clocks_change_minutes": {
            "exchange": exchange // timedelta(minutes=1),
            "local": local // timedelta(minutes=1),
        },
        "sessions": sessions,
    }


def _print_phases(plans: "list[DayPlan]") -> None:
    from rich.table import Table  # noqa: PLC0415 - JSON does without
    from rich.text import Text  # noqa: PLC0415

    from tbot_bot.runtime.schedule_text import hour  # noqa: PLC0415

    out = console()
    for plan in plans:
        early = "  early close" if plan.early else ""
        closed = f"  no sessions: {plan.closed}" if plan.closed else ""
        out.print(
            Text(f"{plan.day:%a} {plan.day.isoformat()}", style="bold").append(f"{early}{closed}", style="not bold")
        )
        table = Table.grid(padding=(0, 2))
        shown = [planned for planned in plan.sessions if not planned.skipped]
        if shown:
            table.add_row("", "session", "clock", *(name for name, _ in _phases(shown[0])), style="dim")
        for planned in shown:
            moments = [tuple(_clocks(at).values()) for _, at in _phases(planned)]
            for number, label in enumerate(("UTC", "New York", "local")):
                cells = (hour(clocks[number], plan.day) for clocks in moments)
                table.add_row("", planned.strategy.upper() if number == 0 else "", label, *cells)
        if shown:
            out.print(table)
        for planned in plan.sessions:
            if planned.skipped:
                out.print(Text(f"  {planned.strategy.upper()} is skipped: {planned.skipped}"))

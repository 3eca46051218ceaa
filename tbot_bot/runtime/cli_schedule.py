"""`tbot schedule`: the days ahead and their sessions, on three clocks."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, JsonValue, console, day_of, emit_json
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from tbot_bot.core.instants import Instant
    from tbot_bot.runtime.schedule import DayPlan, PlannedSession

_DAYS_MAX: Final = 366


def schedule(
    *,
    days: Annotated[
        int, typer.Option(min=1, max=_DAYS_MAX, help="How many days, those without trading included.")
    ] = 10,
    first: Annotated[
        date | None, typer.Option("--from", parser=day_of, metavar="DAY", help="First day; default: today in New York.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Print the coming sessions in UTC, New York time and local time."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.schedule import plan_day, schedule_rules  # noqa: PLC0415

    rules = schedule_rules(load_settings(tbot_home(), defaults_if_absent=True).bot)
    begin = first or exchange_time(wall_now()).date()
    if (date.max - begin).days < days:
        msg = f"the calendar does not reach {days} days beyond {begin.isoformat()}"
        raise typer.BadParameter(msg, param_hint="'--from'")
    plans = [plan_day(rules, begin + timedelta(days=offset)) for offset in range(days)]
    if as_json:
        emit_json({"days": [_plan_json(plan) for plan in plans]})
    else:
        _print_plans(plans)
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


def _clocks(at: "Instant") -> tuple[tuple[str, datetime], ...]:
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415
    from tbot_bot.core.instants import to_datetime  # noqa: PLC0415

    return (("utc", to_datetime(at)), ("exchange", exchange_time(at)), ("local", to_datetime(at).astimezone()))


def _plan_json(plan: "DayPlan") -> JsonValue:
    sessions: list[JsonValue] = [
        {
            "strategy": planned.strategy.value,
            "skipped": planned.skipped,
            "phases": {
                name.replace(" ", "_"): {clock: moment.isoformat() for clock, moment in _clocks(at)}
                for name, at in _phases(planned)
            },
        }
        for planned in plan.sessions
    ]
    return {"day": plan.day.isoformat(), "closed": plan.closed, "early_close": plan.early, "sessions": sessions}


def _print_plans(plans: "list[DayPlan]") -> None:
    from rich.table import Table  # noqa: PLC0415 - JSON does without
    from rich.text import Text  # noqa: PLC0415

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
            moments = [_clocks(at) for _, at in _phases(planned)]
            for number, label in enumerate(("UTC", "New York", "local")):
                cells = (_hour(clocks[number][1], plan.day) for clocks in moments)
                table.add_row("", planned.strategy.upper() if number == 0 else "", label, *cells)
        if shown:
            out.print(table)
        for planned in plan.sessions:
            if planned.skipped:
                out.print(Text(f"  {planned.strategy.upper()} is skipped: {planned.skipped}"))


def _hour(moment: datetime, day: date) -> str:
    """Return the hour, with the days by which `moment` lies off `day` on that clock."""
    off = (moment.date() - day).days
    return f"{moment:%H:%M}{f' {off:+d} d' if off else ''}"

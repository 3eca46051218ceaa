"""Commands that look at the present and the days ahead: status, schedule, check, version."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, complain, console, day_of, emit_json
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from tbot_bot.core.instants import Instant
    from tbot_bot.reporting.status_logger import StatusReading
    from tbot_bot.runtime.schedule import DayPlan, PlannedSession

_DAYS_MAX: Final = 366


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it live; q or Ctrl-C ends it.")] = False,
    as_json: Json = False,
) -> int:
    """Say what the bot is doing now."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.identity import Mode  # noqa: PLC0415
    from tbot_bot.reporting.report_router import OutputPaths  # noqa: PLC0415
    from tbot_bot.reporting.status_logger import read_status  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.status_bot import status_lines  # noqa: PLC0415

    if watch and as_json:
        msg = "--watch is for people and --json for programs; give one of them"
        raise typer.BadParameter(msg)
    if watch:
        from tbot_bot.runtime import status_watch  # noqa: PLC0415

        return status_watch.watch(tbot_home())
    path = OutputPaths(home=tbot_home(), mode=Mode.PAPER).status
    found = read_status(path, wall_now())
    if as_json:
        emit_json(_status_json(found))
    elif found.status is not None:
        for line in status_lines(found.status):
            typer.echo(line)
    if found.words and not as_json:
        complain(found.words) if found.status is None else typer.echo(f"warning: {found.words}", err=True)
    return DONE if found.status is not None else FAILED


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


def check(*, as_json: Json = False) -> int:
    """Check whether the bot can start here. Exit status 2: not with these settings; 3: not here."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.build_check import check_home, check_line  # noqa: PLC0415

    report = check_home(tbot_home(), defaults_if_absent=True)
    if as_json:
        checks: list[JsonValue] = [
            {
                "name": found.name,
                "passed": found.passed,
                "critical": found.critical,
                "detail": found.detail,
                "mend": found.mend,
            }
            for found in report.checks
        ]
        emit_json({"passed": report.passed, "checks": checks})
    else:
        for found in report.checks:
            typer.echo(check_line(found))
    return report.status


def version(*, as_json: Json = False) -> int:
    """Print the version."""
    import platform  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot import __version__  # noqa: PLC0415
    from tbot_bot.runtime.fingerprint import code_fingerprint  # noqa: PLC0415

    if as_json:
        emit_json({"version": __version__, "python": platform.python_version(), "code": code_fingerprint()})
    else:
        typer.echo(f"tbot {__version__} (Python {platform.python_version()}, deciding code {code_fingerprint()[:12]})")
    return DONE


def _status_json(found: "StatusReading") -> JsonValue:
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415

    status_plain = to_plain(found.status) if found.status is not None else None
    return {"status": status_plain, "trouble": found.trouble.value if found.trouble else None, "words": found.words}


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

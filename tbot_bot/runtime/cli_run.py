"""Commands that make the bot trade or stop: run, dry-run, start, stop."""

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import console, day_of, pairs_of, speed_of, stdout_is_terminal, user_name
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.runtime.requests import RunRequest

Day = Annotated[date | None, typer.Option(parser=day_of, metavar="DAY", help="Trading day, as 2018-03-02.")]
Data = Annotated[Path | None, typer.Option(metavar="PATH", help="File or folder of recorded bars (Parquet or CSV).")]
Vix = Annotated[Path | None, typer.Option(metavar="FILE", help="Recorded VIX; without it the built-in rule for none.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override a setting; repeatable.",
        autocompletion=cli_complete.assignments,
    ),
]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the journal.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Run one day (or what is left of it), then exit.")] = False,
    day: Day = None,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Test mode on the built-in market; needs no settings.")
    ] = False,
    data: Data = None,
    vix: Vix = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Seed of the built-in market.")] = None,
    speed: Annotated[
        str, typer.Option(metavar="NUMBER", help="Market seconds per second; default: TIME_COMPRESSION.")
    ] = "",
    i_know: Annotated[
        str,
        typer.Option("--i-know", metavar="REASON", help="Trade live without a dry run and a backtest of this code."),
    ] = "",
    settings: Sets = None,
) -> int:
    """Run the bot in the foreground until it is stopped."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415
    from tbot_bot.runtime.clock import monotonic_seconds, wall_now  # noqa: PLC0415
    from tbot_bot.runtime.progress import RunProgress  # noqa: PLC0415
    from tbot_bot.runtime.requests import REHEARSAL_DAY, RunRequest  # noqa: PLC0415
    from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor  # noqa: PLC0415

    request = RunRequest(
        home=tbot_home(),
        once=once,
        day=day,
        rehearsal=rehearsal,
        data=data.absolute() if data else None,
        vix=vix.absolute() if vix else None,
        seed=seed,
        speed=_number(speed),
        overrides=pairs_of(settings),
        i_know=i_know.strip(),
        by=user_name("tbot run"),
    )
    progress = RunProgress(console())
    today = exchange_time(wall_now()).date()
    began = monotonic_seconds()
    try:
        status = run_supervisor(request, progress)
    finally:
        progress.close()
    if once and progress.used:
        day_run = progress.day or day or (REHEARSAL_DAY if rehearsal else today)
        reported = _print_end_report(request, day_run, monotonic_seconds() - began)
        return status or reported
    return status


def dry_run(
    *,
    data: Annotated[Path, typer.Option(metavar="PATH", help="File or folder of recorded bars (Parquet or CSV).")],
    day: Annotated[date, typer.Option(parser=day_of, metavar="DAY", help="Trading day, as 2018-03-02.")],
    vix: Vix = None,
    speed: Annotated[
        str, typer.Option(metavar="max|NUMBER", help="As fast as it goes, or market seconds per second.")
    ] = "max",
    settings: Sets = None,
    as_json: Json = False,
) -> int:
    """Trade one recorded day and print the end report."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.day_report import to_json  # noqa: PLC0415
    from tbot_bot.runtime import day_loop  # noqa: PLC0415
    from tbot_bot.runtime.requests import DryRunRequest  # noqa: PLC0415

    request = DryRunRequest(
        home=tbot_home(), data=data, day=day, vix=vix, speed=speed_of(speed), overrides=pairs_of(settings)
    )
    with waiting("reading the recorded day") as tell:
        report = day_loop.dry_run(request, tell)
    if as_json:
        typer.echo(to_json(report))
    else:
        from tbot_bot.core.identity import Mode  # noqa: PLC0415
        from tbot_bot.runtime.end_report import show, tell_books  # noqa: PLC0415

        show(report, terminal=stdout_is_terminal())
        tell_books(request.home, Mode.PAPER)
    return 0


def start(*, once: Annotated[bool, typer.Option("--once", help="Run the rest of today, then exit.")] = False) -> int:
    """Start the bot in the background. Where it runs already, nothing happens."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import start_bot  # noqa: PLC0415

    return start_bot.start(tbot_home(), once)


def stop(*, why: Why = "") -> int:
    """Stop safely. No new entries, every position closed, reports written."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import stop_bot  # noqa: PLC0415

    return stop_bot.stop(tbot_home(), user_name("tbot stop"), why)


def _print_end_report(request: "RunRequest", day: date, seconds: float) -> int:
    """Let another process print the day's report and return its exit status: reading the records takes memory."""
    import subprocess  # noqa: PLC0415 - only after a run

    from tbot_bot.config.settings import load_settings  # noqa: PLC0415
    from tbot_bot.core.identity import Mode  # noqa: PLC0415

    bot = load_settings(request.home, dict(request.overrides), defaults_if_absent=True).bot
    paper = request.rehearsal or bot.test_mode or bot.force_paper_export
    words = ["--home", str(request.home), "--day", day.isoformat(), "--mode", Mode.PAPER if paper else Mode.LIVE]
    command = [sys.executable, "-m", "tbot_bot.runtime.end_report", *words, "--run-seconds", f"{seconds:.1f}"]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own module


def _number(speed: str) -> float | None:
    """Return the speed of `tbot run`, which has no `max`: its processes need a clock."""
    if speed == "max":
        msg = "max is for dry-run; give a number such as 400"
        raise typer.BadParameter(msg, param_hint="'--speed'")
    return speed_of(speed) if speed else None

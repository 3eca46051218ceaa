"""Commands that make the bot trade or stop: run, dry-run, start, stop, kill."""

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tbot_bot.runtime.cli_output import complain, console, day_of, pairs_of, speed_of, stdout_is_terminal, user_name

Day = Annotated[date | None, typer.Option(parser=day_of, metavar="DAY", help="Trading day, as 2018-03-02.")]
Data = Annotated[Path | None, typer.Option(metavar="PATH", help="File or folder of recorded bars (Parquet or CSV).")]
Vix = Annotated[Path | None, typer.Option(metavar="FILE", help="Recorded VIX; without it the built-in rule for none.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Override a setting; repeatable.")]
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
    seed: Annotated[int | None, typer.Option(help="Seed of the built-in market.")] = None,
    speed: Annotated[
        str, typer.Option(metavar="NUMBER", help="Market seconds per second; default: TIME_COMPRESSION.")
    ] = "",
    settings: Sets = None,
) -> int:
    """Run the bot in the foreground until it is stopped."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415
    from tbot_bot.runtime.progress import RunProgress  # noqa: PLC0415
    from tbot_bot.runtime.requests import RunRequest  # noqa: PLC0415
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
    )
    progress = RunProgress(console())
    began = monotonic_seconds()
    try:
        status = run_supervisor(request, progress)
    finally:
        progress.close()
    if once and status in {0, 5}:
        from tbot_bot.runtime.end_report import print_after  # noqa: PLC0415

        print_after(request, monotonic_seconds() - began)
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
    """Trade one recorded day on the simulator and print the end report."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.day_report import to_json  # noqa: PLC0415
    from tbot_bot.runtime import day_loop  # noqa: PLC0415
    from tbot_bot.runtime.requests import DryRunRequest  # noqa: PLC0415

    request = DryRunRequest(
        home=tbot_home(), data=data, day=day, vix=vix, speed=speed_of(speed), overrides=pairs_of(settings)
    )
    if sys.stderr.isatty():
        with console(stderr=True).status("reading the recorded day") as spinner:
            report = day_loop.dry_run(request, spinner.update)
    else:
        report = day_loop.dry_run(request)
    if as_json:
        typer.echo(to_json(report))
    else:
        from tbot_bot.runtime.end_report import show  # noqa: PLC0415

        show(report, terminal=stdout_is_terminal())
    return 0


def start(*, once: Annotated[bool, typer.Option("--once", help="Run the rest of today, then exit.")] = False) -> int:
    """Start the bot in the background; does nothing where it runs already."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import start_bot  # noqa: PLC0415

    return start_bot.start(tbot_home(), once)


def stop(*, why: Why = "") -> int:
    """Stop safely: no new entries, every position closed, reports written."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import stop_bot  # noqa: PLC0415

    return stop_bot.stop(tbot_home(), user_name("tbot stop"), why)


def kill(*, why: Why = "") -> int:
    """Engage the kill switch: everything is closed at once, and nothing trades until it is lifted."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.control import ControlFolder, Flag  # noqa: PLC0415
    from tbot_bot.runtime.locks import SUPERVISOR_LOCK, holder  # noqa: PLC0415

    folder = control_folder(tbot_home())
    path = ControlFolder(folder).write(Flag.KILL, by=user_name("tbot kill"), why=why)
    pid = holder(folder / SUPERVISOR_LOCK)
    if pid is None:
        typer.echo(f"kill switch asked for in {path.name}; no bot is running, so it is engaged at the next start")
    else:
        typer.echo(f"kill switch asked for in {path.name}; the running bot (pid {pid or 'unknown'}) obeys within 2 s")
    return 0


def control_folder(home: Path) -> Path:
    """Return the folder of flags and locks. Broken settings must not keep anybody from pulling the switch."""
    from tbot_bot.config.env import EnvSettings  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.envfile import read_file  # noqa: PLC0415
    from tbot_bot.config.error_handler import ConfigError  # noqa: PLC0415
    from tbot_bot.config.settings import ENV_FILE, load_settings  # noqa: PLC0415

    try:
        return home / load_settings(home, defaults_if_absent=True).env.control_dir
    except ConfigError as error:
        complain(error)
    named = [entry.value for entry in read_file(home / ENV_FILE, ENV_FILE).entries if entry.name == "CONTROL_DIR"]
    folder = Path(named[-1]) if named else Path(str(EnvSettings.model_fields["control_dir"].default))
    typer.echo(f"warning: the settings are broken; using the control folder {folder.as_posix()}", err=True)
    return home / folder


def _number(speed: str) -> float | None:
    """Return the speed of `tbot run`, which has no `max`: its processes need a clock."""
    if speed == "max":
        msg = "max is for dry-run; give a number such as 400"
        raise typer.BadParameter(msg, param_hint="'--speed'")
    return speed_of(speed) if speed else None

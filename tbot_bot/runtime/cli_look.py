"""Commands that look at the present: status, check, version."""

from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, complain, emit_json
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.reporting.status_logger import StatusReading


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


def check(*, as_json: Json = False) -> int:
    """Check whether the bot can start here. Exit status 2: not with these settings; 3: not here."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.build_check import check_home, check_line  # noqa: PLC0415

    with waiting("checking"):
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

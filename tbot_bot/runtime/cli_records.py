"""Commands that only look: status, schedule, check, journal, replay, report, version."""

import sys
import time
from datetime import date
from typing import Annotated

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.runtime.cli_output import (
    BUILD_CHECK,
    DONE,
    FAILED,
    JsonValue,
    console,
    day_of,
    emit_json,
    stdout_is_terminal,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
ModeOption = Annotated[Mode, typer.Option(help="Which books: paper, live or backtest.")]
DayArgument = Annotated[date, typer.Argument(parser=day_of, metavar="DAY", help="Trading day, as 2018-03-02.")]
WATCH_SECONDS = 0.5


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and follow; Ctrl-C leaves.")] = False,
    as_json: Json = False,
) -> int:
    """Show what the bot is doing."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.report_router import OutputPaths  # noqa: PLC0415
    from tbot_bot.reporting.status_logger import read_status, status_bytes  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.progress import RunProgress, panel_of  # noqa: PLC0415

    path = OutputPaths(home=tbot_home(), mode=Mode.PAPER).status
    reading = read_status(path, wall_now())
    if reading.words:
        typer.echo(f"note: {reading.words}", err=True)
    if reading.status is None:
        return FAILED
    if as_json:
        sys.stdout.write(status_bytes(reading.status).decode())
    elif not watch:
        session = reading.status.session
        console().print(panel_of(reading.status, [(session, reading.status)] if session else []))
    else:
        progress = RunProgress(console())
        try:
            while True:
                progress.update(read_status(path, wall_now()).status)
                time.sleep(WATCH_SECONDS)
        finally:
            progress.close()
    return DONE


def schedule(
    *,
    days: Annotated[int, typer.Option(min=1, max=4000, help="How many calendar days.")] = 10,
    first: Annotated[
        date | None, typer.Option("--from", parser=day_of, metavar="DAY", help="First day; default: today.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show the coming sessions in UTC, exchange time and local time, and why a day has none."""
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.schedule import schedule_rules  # noqa: PLC0415
    from tbot_bot.runtime.schedule_view import schedule_rows, schedule_table  # noqa: PLC0415

    bot = load_settings(tbot_home(), defaults_if_absent=True).bot
    start = first or exchange_time(wall_now()).date()
    rows = schedule_rows(schedule_rules(bot), start, days)
    if as_json:
        emit_json([row.plain() for row in rows])
    else:
        console().print(schedule_table(rows))
    return DONE


def check(*, as_json: Json = False) -> int:
    """Check whether the bot can start here; exit status 3 where it cannot."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.build_check import check_home, check_line  # noqa: PLC0415

    report = check_home(tbot_home(), defaults_if_absent=True)
    if as_json:
        checks: list[JsonValue] = [
            {"name": one.name, "passed": one.passed, "detail": one.detail, "mend": one.mend, "critical": one.critical}
            for one in report.checks
        ]
        emit_json({"passed": report.passed, "checks": checks})
    else:
        for one in report.checks:
            typer.echo(check_line(one))
    return DONE if report.passed else BUILD_CHECK


def journal_tail(
    *,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows.")] = 20,
    mode: ModeOption = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Show the journal's last rows."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415

    with open_reader(records_for(tbot_home(), mode, test_mode=False).journal) as journal:
        rows = journal.tail(count)
    if as_json:
        emit_json(
            [
                {
                    "seq": row.seq,
                    "at": iso(Instant(row.at)),
                    "recorded_at": iso(Instant(row.recorded_at)),
                    "session": row.session,
                    "input_number": row.input_number,
                    "kind": row.kind.value,
                    "version": row.version,
                    "payload": row.payload,
                    "hash": row.hash.hex(),
                }
                for row in rows
            ]
        )
        return DONE
    width = console().width
    for row in rows:
        text = f"{row.seq:>7}  {iso(Instant(row.at)):<24} {row.kind.value:<8} {row.session:<20} {row.payload}"
        typer.echo(text if len(text) <= width else f"{text[: width - 3]}...")
    return DONE


def journal_verify(*, mode: ModeOption = Mode.PAPER, as_json: Json = False) -> int:
    """Check the journal's hash chain and its market tapes; name the first damaged row."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.journal.verify import verify  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415

    report = verify(records_for(tbot_home(), mode, test_mode=False).journal)
    broken = [tape for tape in report.tapes if tape.problem]
    if as_json:
        emit_json(
            {
                "ok": report.ok,
                "rows": report.rows,
                "damaged_row": report.damaged_row,
                "problem": report.problem,
                "head": report.head.hex(),
                "tapes": [{"path": str(tape.path), "problem": tape.problem} for tape in report.tapes],
            }
        )
    elif report.ok:
        typer.echo(f"sound: {report.rows} rows and {len(report.tapes)} tapes, head {report.head.hex()[:16]}")
    else:
        if report.problem:
            typer.echo(f"damaged: row {report.damaged_row}: {report.problem} ({report.rows} rows before it are sound)")
        for tape in broken:
            typer.echo(f"damaged tape: {tape.path.name}: {tape.problem}")
    return DONE if report.ok else FAILED


def replay(day: DayArgument, *, mode: ModeOption = Mode.PAPER, as_json: Json = False) -> int:
    """Feed a journaled day through today's code; exit status 1 with the first difference, if there is one."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.replay import replay_day  # noqa: PLC0415

    report = replay_day(tbot_home(), day, mode)
    if as_json:
        sessions: list[JsonValue] = [
            {"session": one.session, "inputs": one.inputs, "answers": one.answers, "difference": one.difference}
            for one in report.sessions
        ]
        emit_json({"day": day.isoformat(), "mode": mode.value, "identical": report.identical, "sessions": sessions})
    else:
        for one in report.sessions:
            verdict = f"DIFFERS: {one.difference}" if one.difference else "identical"
            typer.echo(f"{one.session}: {one.inputs} inputs, {one.answers} answers, {verdict}")
    return DONE if report.identical else FAILED


def report(day: DayArgument, *, mode: ModeOption = Mode.PAPER, as_json: Json = False) -> int:
    """Print the end report of a day from the journal."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.day_report import to_json  # noqa: PLC0415
    from tbot_bot.runtime.end_report import day_report, show  # noqa: PLC0415

    found = day_report(tbot_home(), day, mode)
    if as_json:
        typer.echo(to_json(found))
    else:
        show(found, terminal=stdout_is_terminal())
    return DONE


def version(*, as_json: Json = False) -> int:
    """Print the version, and the fingerprint of the code that decides."""
    from tbot_bot import __version__  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.fingerprint import code_fingerprint  # noqa: PLC0415

    if as_json:
        emit_json({"version": __version__, "code_fingerprint": code_fingerprint()})
    else:
        typer.echo(f"tbot {__version__}  (code {code_fingerprint()[:12]})")
    return DONE

"""Commands that read the records: journal tail and verify, replay, report."""

import json
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode
from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, console, day_of, emit_json, stdout_is_terminal
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from tbot_bot.journal.chain import Row
    from tbot_bot.journal.verify import VerifyReport
    from tbot_bot.reporting.report_router import OutputPaths

Books = Annotated[Mode, typer.Option("--mode", help="Which books to read.")]
Day = Annotated[date, typer.Argument(parser=day_of, metavar="DAY", help="Trading day, as 2025-09-02.")]


def tail(
    *,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows.")] = 20,
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Print the last rows of the journal, oldest first."""
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415 - `--help` stays fast

    with open_reader(_records(mode).journal) as journal:
        rows = journal.tail(count)
    if as_json:
        emit_json({"rows": [_row_json(row) for row in rows]})
        return DONE
    out = console()
    terminal = stdout_is_terminal()
    for row in rows:  # a terminal shows one line of each; a pipe gets all of it
        out.print(_row_text(row), no_wrap=True, overflow="ellipsis" if terminal else "ignore", crop=terminal)
    return DONE


def verify(*, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Check every row and every tape. Exit status 1: the first damage is shown."""
    from tbot_bot.journal import verify as verification  # noqa: PLC0415 - `--help` stays fast

    path = _records(mode).journal
    if not path.exists():
        raise JournalError("there is no journal", where=str(path), mend="It is made by the first start.")
    report = verification.verify(path)
    if as_json:
        emit_json(_verify_json(report))
        return DONE if report.ok else FAILED
    if report.ok:
        frames = sum(tape.frames for tape in report.tapes)
        typer.echo(f"{report.path.name} is sound: {report.rows} rows, {len(report.tapes)} tapes with {frames} frames")
        typer.echo(f"head {report.head.hex()}")
        return DONE
    at = f"row {report.damaged_row}: " if report.damaged_row is not None else ""
    faults = [f"{report.path}: {at}{report.problem}"] if report.problem else []
    faults += [f"{tape.path}: {tape.problem}" for tape in report.tapes if tape.problem]
    for fault in faults:
        typer.echo(f"error: {fault}", err=True)
    typer.echo(f"{report.rows} rows before it are sound; restore the journal from a backup", err=True)
    return FAILED


def replay(day: Day, *, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Prove that a journaled day gives identical decisions. Exit status 1: the first difference is shown."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime.replay import replay_day  # noqa: PLC0415

    report = replay_day(tbot_home(), day, mode)
    if as_json:
        emit_json({**to_plain(report), "identical": report.identical})
        return DONE if report.identical else FAILED
    for found in report.sessions:
        ending = f"differs: {found.difference}" if found.difference else "identical"
        typer.echo(f"{found.session}: {found.inputs} inputs, {found.answers} answers, {ending}")
    return DONE if report.identical else FAILED


def report(day: Day, *, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Print the end report of a day, from the journal."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.day_report import to_json  # noqa: PLC0415
    from tbot_bot.runtime import end_report  # noqa: PLC0415

    told = end_report.day_report(tbot_home(), day, mode)
    if as_json:
        typer.echo(to_json(told))
    else:
        end_report.show(told, terminal=stdout_is_terminal())
    return DONE


def _records(mode: Mode) -> "OutputPaths":
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415

    return records_for(tbot_home(), mode, test_mode=False)


def _row_json(row: "Row") -> JsonValue:
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415

    payload: JsonValue = json.loads(row.payload)
    return {
        "seq": row.seq,
        "at": iso(Instant(row.at)),
        "recorded_at": iso(Instant(row.recorded_at)),
        "session": row.session,
        "input_number": row.input_number,
        "kind": row.kind.value,
        "payload": payload,
        "hash": row.hash.hex(),
    }


def _row_text(row: "Row") -> str:
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415

    return f"{row.seq:>6}  {iso(Instant(row.at))}  {row.session or '-':<18}  {row.kind:<8}  {row.payload}"


def _verify_json(report: "VerifyReport") -> JsonValue:
    tapes: list[JsonValue] = [
        {
            "path": str(tape.path),
            "frames": tape.frames,
            "dropped_bytes": tape.dropped_bytes,
            "problem": tape.problem,
        }
        for tape in report.tapes
    ]
    return {
        "ok": report.ok,
        "path": str(report.path),
        "rows": report.rows,
        "damaged_row": report.damaged_row,
        "problem": report.problem,
        "head": report.head.hex(),
        "tapes": tapes,
    }

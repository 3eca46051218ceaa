"""Commands on the journal: tail, show, verify, export."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.chain import Kind
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import (
    DONE,
    FAILED,
    JsonValue,
    console,
    day_of,
    emit_json,
    printable,
    stdout_is_terminal,
)
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import work

if TYPE_CHECKING:
    from tbot_bot.journal.chain import Row
    from tbot_bot.journal.store import JournalReader
    from tbot_bot.journal.verify import VerifyReport
    from tbot_bot.reporting.report_router import OutputPaths

_SEQ_MAX: Final = 2**63 - 1
_RANGE: Final = re.compile(r"(\d{1,18})(?:(-)(\d{1,18})?)?")
_INDENT: Final = "  "
_INSTANT_MIN: Final = 10**18
"""Nothing but an instant is counted so high: 2001-09-09 in nanoseconds."""

Books = Annotated[Mode, typer.Option("--mode", help="Which books to read.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRange:
    """Row numbers, both ends included."""

    first: int
    last: int


def range_of(text: str) -> RowRange:
    """Read row numbers: `17`, `17-40`, or `17-` for all from 17 on.

    Raises:
        typer.BadParameter: not of that form, or the wrong way round.
    """
    found = _RANGE.fullmatch(text)
    first = int(found[1]) if found else 0
    last = int(found[3]) if found and found[3] else _SEQ_MAX if found and found[2] else first
    if found is None or not 0 < first <= last:
        msg = f"{text!r} names no rows; write 17, 17-40, or 17- for all from 17 on"
        raise typer.BadParameter(msg)
    return RowRange(first=first, last=last)


def session_name(text: str) -> str:
    """Read a session's id.

    Raises:
        typer.BadParameter: no such form.
    """
    try:
        return str(SessionId.parse(text))
    except ValueError:
        msg = f"{text!r} is not a session; write it as 2025-09-02/open"
        raise typer.BadParameter(msg) from None


def kind_of(text: str) -> Kind:
    """Read a kind of rows.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    try:
        return Kind(text)
    except ValueError:
        msg = f"{text!r} is no kind of row; there are {', '.join(Kind)}"
        raise typer.BadParameter(msg) from None


Session = Annotated[
    str | None,
    typer.Option(
        parser=session_name, metavar="SESSION", help="Only this session.", autocompletion=cli_complete.sessions
    ),
]


def tail(
    *,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows.")] = 20,
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Print the last rows of the journal, oldest first."""
    with _open(mode) as journal:
        rows = journal.tail(count)
    if as_json:
        emit_json({"rows": [_row_json(row) for row in rows]})
        return DONE
    out = console()
    terminal = stdout_is_terminal()
    for row in rows:  # a terminal shows one line of each; a pipe gets all of it
        out.print(_row_text(row), no_wrap=True, overflow="ellipsis" if terminal else "ignore", crop=terminal)
    return DONE


def show(
    rows: Annotated[
        RowRange | None, typer.Argument(parser=range_of, metavar="ROWS", help="Row numbers: 17, 17-40 or 17-.")
    ] = None,
    *,
    session: Session = None,
    kind: Annotated[
        Kind | None,
        typer.Option(parser=kind_of, metavar="KIND", help="Only this kind.", autocompletion=cli_complete.kinds),
    ] = None,
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Print whole rows of the journal, field by field."""
    if rows is None and session is None and kind is None:
        msg = "say which rows: their numbers, --session or --kind"
        raise typer.BadParameter(msg)
    wanted = rows or RowRange(first=1, last=_SEQ_MAX)
    with _open(mode) as journal:
        found = _between(journal, wanted, session, kind)
        if as_json:
            shown = [_row_json(row) for row in found]
            count = len(shown)
            if shown:
                emit_json({"rows": shown})
        else:
            count = 0
            for count, row in enumerate(found, start=1):  # noqa: B007 - counted for the answer below
                typer.echo("\n".join(_row_lines(row)))
        if not count:
            raise JournalError(
                "no such rows in it",
                where=str(journal.path),
                mend=f"It has the rows 1 to {journal.head().seq}; `tbot journal tail` shows the last.",
            )
    return DONE


def verify(*, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Check every row and every tape. Exit status 1: the first damage is shown."""
    from tbot_bot.journal import verify as verification  # noqa: PLC0415 - `--help` stays fast

    path = _records(mode).journal
    if not path.exists():
        raise JournalError("there is no journal", where=str(path), mend="It is made by the first start.")
    with work(f"checking {path.name}", _rows_in(path)) as under_way:
        report = verification.verify(path, progress=under_way.reach)
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
        typer.echo(f"error: {printable(fault)}", err=True)
    typer.echo(f"{report.rows} rows before it are sound; restore the journal from a backup", err=True)
    return FAILED


def export(
    *,
    day: Annotated[
        date | None,
        typer.Option(parser=day_of, metavar="DAY", help="The rows of this day.", autocompletion=cli_complete.days),
    ] = None,
    session: Session = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the rows, one JSON object a line.")
    ] = None,
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Make the files for people anew, or write rows as JSON lines.

    Without --day, --session or --out: the files. The same journal gives the same bytes.
    """
    from tbot_bot.runtime import journal_export  # noqa: PLC0415 - `--help` stays fast

    if day is not None and session is not None:
        msg = "--day and --session are two choices; give one of them"
        raise typer.BadParameter(msg)
    if day is None and session is None and out is None:
        return _rebuild(mode, as_json=as_json)
    if as_json and out is None:
        msg = "the rows are JSON lines already; leave --json out, or name a file with --out"
        raise typer.BadParameter(msg)
    with _open(mode) as journal:
        rows = _chosen(journal, day, session)
        with work("writing rows", journal.head().seq) as under_way:
            apart = out is not None or not stdout_is_terminal()  # else the bar would stand among the rows
            lines = (_json_line(row) for row in (under_way.over(rows) if apart else rows))
            if out is None:
                for line in lines:
                    typer.echo(line, nl=False)
                return DONE
            written = journal_export.write_lines(out, lines)
    if as_json:
        emit_json({"path": str(out), "rows": written.lines, "sha256": written.sha256})
    else:
        typer.echo(f"{out}: {written.lines} rows, sha256 {written.sha256}")
    return DONE


def _rebuild(mode: Mode, *, as_json: bool) -> int:
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.runtime import journal_export  # noqa: PLC0415

    home = tbot_home()
    with _open(mode) as journal, work("reading the journal", journal.head().seq) as under_way:
        files = journal_export.rebuild_files(home, journal, _records(mode), under_way.over)
    if as_json:
        emit_json({"files": [{"path": str(file.path), "sha256": file.sha256, "change": file.change} for file in files]})
    else:
        for file in files:
            typer.echo(f"{file.change:<9}  {file.path.relative_to(home)}")
    return DONE


def _chosen(journal: "JournalReader", day: date | None, session: str | None) -> "Iterator[Row]":
    """Yield the rows asked for, in order.

    Raises:
        JournalError: the journal has nothing of that day or session.
    """
    names = journal.sessions_of(day) if day is not None else (session,) if session is not None else ()
    wanted = day.isoformat() if day is not None else session
    rows = (journal.rows(session=name) for name in names)
    if not names and wanted is None:
        return journal.rows()
    # a day's sessions run one after another, and a later run of one may come after another's
    found = sorted(chain.from_iterable(rows), key=lambda row: row.seq)
    if not found:
        raise JournalError(
            f"no rows of {wanted} in it", where=str(journal.path), mend="`tbot journal tail` shows which days it holds."
        )
    return iter(found)


def _between(journal: "JournalReader", wanted: RowRange, session: str | None, kind: Kind | None) -> "Iterator[Row]":
    for row in journal.rows(after=wanted.first - 1, session=session, kind=kind):
        if row.seq > wanted.last:
            return
        yield row


def _open(mode: Mode) -> "JournalReader":
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415 - `--help` stays fast

    return open_reader(_records(mode).journal)


def _records(mode: Mode) -> "OutputPaths":
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415

    return records_for(tbot_home(), mode, test_mode=False)


def _rows_in(path: Path) -> int | None:
    """Return how many rows there seem to be; a damaged journal has as many as its verification finds."""
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415

    try:
        with open_reader(path) as journal:
            return journal.head().seq
    except JournalError:
        return None


def _row_json(row: "Row") -> dict[str, JsonValue]:
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415

    payload: JsonValue = json.loads(row.payload)
    return {
        "seq": row.seq,
        "at": iso(Instant(row.at)),
        "recorded_at": iso(Instant(row.recorded_at)),
        "session": row.session,
        "input_number": row.input_number,
        "kind": row.kind.value,
        "version": row.version,
        "payload": payload,
        "previous_hash": row.previous_hash.hex(),
        "hash": row.hash.hex(),
    }


def _json_line(row: "Row") -> str:
    return f"{json.dumps(_row_json(row), ensure_ascii=False, separators=(',', ':'))}\n"


def _row_text(row: "Row") -> str:
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415

    return printable(f"{row.seq:>6}  {iso(Instant(row.at))}  {row.session or '-':<18}  {row.kind:<8}  {row.payload}")


def _row_lines(row: "Row") -> Iterator[str]:
    """Yield `row` as text: a heading, then its record, a field a line."""
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415

    number = f", input {row.input_number}" if row.input_number else ""
    yield f"row {row.seq}  {iso(Instant(row.at))}  {row.session or 'no session'}{number}  {row.kind}"
    payload: JsonValue = json.loads(row.payload)
    for line in _told(payload, ""):
        yield f"{_INDENT}{printable(line)}"
    yield f"{_INDENT}recorded at {iso(Instant(row.recorded_at))}, hash {row.hash.hex()[:16]}"


def _told(value: JsonValue, name: str) -> Iterator[str]:
    """Yield `value` under its name, parts indented; records are headed by their kind, instants are spelled out."""
    if isinstance(value, dict):
        kind = value.get("_")
        yield " ".join(word for word in (name, str(kind) if kind else "") if word) or "-"
        for key, part in value.items():
            if key != "_":
                yield from (f"{_INDENT}{line}" for line in _told(part, f"{key}:"))
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        yield name
        for part in value:
            yield from (f"{_INDENT}{line}" for line in _told(part, "-"))
    elif isinstance(value, list):
        yield f"{name} {', '.join(map(_word, value)) or 'none'}"
    else:
        yield f"{name} {_word(value)}"


def _word(value: JsonValue) -> str:
    from tbot_bot.core.instants import Instant, iso  # noqa: PLC0415

    if isinstance(value, str):
        return value or '""'
    if type(value) is int and value >= _INSTANT_MIN:
        return iso(Instant(value))
    return json.dumps(value, ensure_ascii=False)


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

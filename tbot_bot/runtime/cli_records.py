"""Commands that tell what days came to: replay, report day, report range."""

import textwrap
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import DONE, FAILED, console, day_of, emit_json, printable, stdout_is_terminal
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting, work

if TYPE_CHECKING:
    from tbot_bot.runtime.replay import SessionReplay

_COLUMNS: Final = 79
Books = Annotated[Mode, typer.Option("--mode", help="Which books to read.")]
Day = Annotated[
    date,
    typer.Argument(parser=day_of, metavar="DAY", help="Trading day, as 2025-09-02.", autocompletion=cli_complete.days),
]


def replay(day: Day, *, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Prove that today's code decides a journaled day the same. Exit status 1: the first difference is told."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime.replay import replay_day  # noqa: PLC0415

    with work("replaying") as under_way:
        report = replay_day(tbot_home(), day, mode, under_way.reach)
    if as_json:
        emit_json({**to_plain(report), "identical": report.identical, "verdict": report.verdict})
        return DONE if report.identical else FAILED
    for found in report.sessions:
        for line in _replayed(found):
            typer.echo(line)
    for line in textwrap.wrap(report.verdict, _COLUMNS):
        typer.echo(line)
    return DONE if report.identical else FAILED


def _replayed(found: "SessionReplay") -> Iterator[str]:
    """Yield how one session's replay ended; a difference as where, then and now."""
    if found.note:
        yield f"{found.session}: {found.note}"
        return
    before = f" ({found.followed} from before the code changed: followed, not compared)" if found.followed else ""
    if not found.difference:
        yield f"{found.session}: {found.inputs} inputs{before}, {found.answers} answers, identical"
        return
    yield f"{found.session}: DIFFERS first at input {found.inputs}{before}"
    words = found.words
    if words is None:
        yield from _folded("what", found.difference)
        return
    yield from _folded("where", words.where)
    yield from _folded("then", words.then)
    yield from _folded("now", words.now)
    for field in words.fields:
        yield from _folded("differs", field)


def _folded(name: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(printable(text), _COLUMNS, initial_indent=f"  {name:<7}  ", subsequent_indent=" " * 11)


def report_day(day: Day, *, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Print the end report of a day, from the journal."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.day_report import to_json  # noqa: PLC0415
    from tbot_bot.runtime import end_report  # noqa: PLC0415

    with waiting("reading the journal"):
        told = end_report.day_report(tbot_home(), day, mode)
    if as_json:
        typer.echo(to_json(told))
    else:
        end_report.show(told, terminal=stdout_is_terminal())
    return DONE


def report_range(
    first: Annotated[
        date,
        typer.Argument(
            parser=day_of, metavar="FROM", help="First day, as 2025-09-01.", autocompletion=cli_complete.days
        ),
    ],
    last: Annotated[
        date,
        typer.Argument(
            parser=day_of, metavar="TO", help="Last day, itself included.", autocompletion=cli_complete.days
        ),
    ],
    *,
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Print what a span of days came to: each day, all together, by strategy, broker and symbol."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting import range_report  # noqa: PLC0415
    from tbot_bot.runtime import end_report  # noqa: PLC0415

    if last < first:
        msg = f"{last.isoformat()} is before {first.isoformat()}; the earlier day comes first"
        raise typer.BadParameter(msg, param_hint="'TO'")
    with work("reading the journal") as under_way:
        told = end_report.report_of_range(tbot_home(), first, last, mode, under_way.reach)
    if as_json:
        typer.echo(range_report.to_json(told))
    else:
        console().print(range_report.render(told))
    return DONE

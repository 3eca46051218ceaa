"""Commands that tell what days came to: replay, report day, report range."""

from datetime import date
from typing import Annotated

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_output import DONE, FAILED, console, day_of, emit_json, stdout_is_terminal
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting, work

Books = Annotated[Mode, typer.Option("--mode", help="Which books to read.")]
Day = Annotated[
    date,
    typer.Argument(parser=day_of, metavar="DAY", help="Trading day, as 2025-09-02.", autocompletion=cli_complete.days),
]


def replay(day: Day, *, mode: Books = Mode.PAPER, as_json: Json = False) -> int:
    """Prove that a journaled day gives identical decisions. Exit status 1: the first difference is shown."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime.replay import replay_day  # noqa: PLC0415

    with work("replaying") as under_way:
        report = replay_day(tbot_home(), day, mode, under_way.reach)
    if as_json:
        emit_json({**to_plain(report), "identical": report.identical})
        return DONE if report.identical else FAILED
    for found in report.sessions:
        ending = f"differs: {found.difference}" if found.difference else "identical"
        before = f" ({found.followed} from before the code changed: followed, not compared)" if found.followed else ""
        typer.echo(f"{found.session}: {found.inputs} inputs{before}, {found.answers} answers, {ending}")
    return DONE if report.identical else FAILED


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

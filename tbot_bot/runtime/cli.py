"""`tbot`: the commands, their exit statuses, and errors as one line. Parses, composes, runs; nothing else."""

import sys
from collections.abc import Callable
from functools import wraps

import typer

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.calendar import NotATradingDay
from tbot_bot.runtime import cli_records, cli_run
from tbot_bot.runtime.cli_output import FAILED, INTERRUPTED, complain, example, status_of

app = typer.Typer(
    name="tbot",
    help="TradeBot: trades three sessions a day, keeps a journal of every decision, and replays it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
journal = typer.Typer(help="Look into the journal.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(journal, name="journal")


def _translated(command: Callable[..., int]) -> Callable[..., None]:
    """Return `command` with its result, and our own errors, as exit statuses."""

    @wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            status = command(*args, **options)
        except TbotError as error:
            complain(error)
            status = status_of(error)
        except (NotATradingDay, OSError) as error:
            complain(error)
            status = FAILED
        except KeyboardInterrupt:
            status = INTERRUPTED
        raise typer.Exit(status)

    return run


_COMMANDS: tuple[tuple[typer.Typer, str, Callable[..., int], str], ...] = (
    (app, "run", cli_run.run, "tbot run --once --rehearsal"),
    (app, "dry-run", cli_run.dry_run, "tbot dry-run --data bars.parquet --day 2018-03-02 --vix vix.csv"),
    (app, "start", cli_run.start, "tbot start --once"),
    (app, "stop", cli_run.stop, "tbot stop --why maintenance"),
    (app, "kill", cli_run.kill, "tbot kill --why 'prices look wrong'"),
    (app, "status", cli_records.status, "tbot status --watch"),
    (app, "schedule", cli_records.schedule, "tbot schedule --days 10"),
    (app, "check", cli_records.check, "tbot check --json"),
    (journal, "tail", cli_records.journal_tail, "tbot journal tail --count 50"),
    (journal, "verify", cli_records.journal_verify, "tbot journal verify --mode paper"),
    (app, "replay", cli_records.replay, "tbot replay 2025-09-02 --mode paper"),
    (app, "report", cli_records.report, "tbot report 2025-09-02"),
    (app, "version", cli_records.version, "tbot version --json"),
)
for _group, _name, _command, _example in _COMMANDS:
    _group.command(_name, epilog=example(_example))(_translated(_command))


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

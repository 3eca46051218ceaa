"""The command line `tbot`: parses, composes, runs, and turns errors into messages and exit codes.

Commands import what they need when they run, so that `tbot --help` is there at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

import typer
from typer.exceptions import TyperException

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.calendar import NotATradingDay
from tbot_bot.runtime import (
    cli_alerts,
    cli_backtest,
    cli_backtest_compare,
    cli_backtest_report,
    cli_backtest_sweep,
    cli_backup,
    cli_canary,
    cli_config,
    cli_control,
    cli_data,
    cli_defense,
    cli_float,
    cli_fundamentals,
    cli_guard,
    cli_journal,
    cli_journal_archive,
    cli_kill,
    cli_ledger,
    cli_look,
    cli_reconcile,
    cli_records,
    cli_rehearse,
    cli_run,
    cli_sandbox,
    cli_schedule,
    cli_screen,
    cli_service,
)
from tbot_bot.runtime.cli_output import (
    DONE,
    FAILED,
    INTERRUPTED,
    Command,
    complain,
    example,
    status_of,
    with_exit_codes,
)
from tbot_bot.runtime.last_resort import scrubbed_output

_COMMANDS: Final[tuple[tuple[str, Command, str], ...]] = (
    ("run", cli_run.run, example("tbot run --rehearsal --once", "tbot run")),
    ("dry-run", cli_run.dry_run, example("tbot dry-run --data bars.parquet --day 2018-03-02 --vix vix.csv")),
    ("start", cli_run.start, example("tbot start --once")),
    ("stop", cli_run.stop, example('tbot stop --why "maintenance"')),
    (
        "kill",
        cli_kill.kill,
        example('tbot kill --why "prices look wrong"', 'tbot kill --keep-positions --why "the feed is down"'),
    ),
    (
        "flatten",
        cli_kill.flatten,
        example('tbot flatten --symbol AAA --why "news"', 'tbot flatten --why "out before the speech"'),
    ),
    ("resume", cli_control.resume, example('tbot resume --why "the feed is sound again"')),
    ("confirm", cli_control.confirm, example("tbot confirm", "tbot confirm 20250902-open-sim-AAA")),
    ("decline", cli_control.decline, example('tbot decline 20250902-open-sim-AAA --why "earnings tonight"')),
    ("status", cli_look.status, example("tbot status --watch")),
    ("schedule", cli_schedule.schedule, example("tbot schedule --days 5 --from 2025-11-24")),
    ("check", cli_look.check, example("tbot check --json")),
    ("canary", cli_canary.canary, example("tbot canary", "tbot canary --symbol AAPL --json")),
    (
        "screen",
        cli_screen.screen,
        example("tbot screen --session open", "tbot screen --explain SYN07", "tbot screen --live --explain AAPL"),
    ),
    (
        "sandbox",
        cli_sandbox.sandbox,
        example("tbot sandbox", "tbot sandbox --data bars.parquet --day 2018-03-02 --speed 60 --faults faults.json"),
    ),
    (
        "rehearse",
        cli_rehearse.rehearse,
        example("tbot rehearse", "tbot rehearse --short", "tbot rehearse --data bars.parquet --day 2018-03-02"),
    ),
    ("reconcile", cli_reconcile.reconcile, example("tbot reconcile", "tbot reconcile 2025-09-02 --mode paper --json")),
    ("replay", cli_records.replay, example("tbot replay 2025-09-02")),
    ("guard", cli_guard.guard, example("tbot guard --status --json", "tbot guard --once")),
    ("version", cli_look.version, example("tbot version --json")),
)
_JOURNAL: Final[tuple[tuple[str, Command, str], ...]] = (
    ("tail", cli_journal.tail, example("tbot journal tail --count 50")),
    ("show", cli_journal.show, example("tbot journal show 1-5", "tbot journal show --session 2025-09-02/open --json")),
    ("verify", cli_journal.verify, example("tbot journal verify --mode paper")),
    (
        "export",
        cli_journal.export,
        example("tbot journal export", "tbot journal export --day 2025-09-02 --out rows.jsonl"),
    ),
    ("archive", cli_journal_archive.archive, example("tbot journal archive --before 2025-09-02")),
)
_CONFIG: Final[tuple[tuple[str, Command, str], ...]] = (
    ("show", cli_config.show, example("tbot config show", "tbot config show MAX_TRADES WEIGHTS --explain")),
    ("check", cli_config.check, example("tbot config check --json")),
    ("set", cli_config.set_values, example("tbot config set MAX_TRADES 2 WEIGHTS 0.6,0.4 --dry-run")),
    ("edit", cli_config.edit, example('tbot config edit --why "smaller budget"')),
    ("encrypt", cli_config.encrypt, example("tbot config encrypt --new-key")),
    ("decrypt", cli_config.decrypt, example("tbot config decrypt")),
    ("rotate", cli_config.rotate, example("tbot config rotate")),
)
_REPORT: Final[tuple[tuple[str, Command, str], ...]] = (
    ("day", cli_records.report_day, example("tbot report day 2025-09-02 --json")),
    ("range", cli_records.report_range, example("tbot report range 2025-09-01 2025-09-30")),
)
_DEFENSE: Final[tuple[tuple[str, Command, str], ...]] = (
    ("show", cli_defense.show, example("tbot defense show --json")),
    ("enter", cli_defense.enter, example('tbot defense enter --why "earnings week"')),
    (
        "leave",
        cli_defense.leave,
        example('tbot defense leave --why "it was the feed"', 'tbot defense leave --why "looked into" --anyway'),
    ),
)
_FLOAT: Final[tuple[tuple[str, Command, str], ...]] = (
    ("show", cli_float.show, example("tbot float show --json")),
    ("plan", cli_float.plan, example("tbot float plan", "tbot float plan --from-reserve 25000")),
    (
        "transfer",
        cli_float.transfer,
        example(
            'tbot float transfer --authorize --why "weekly rebalance"',
            'tbot float transfer --authorize --from-reserve 25000 --why "after the loss of May"',
        ),
    ),
)
_LEDGER: Final[tuple[tuple[str, Command, str], ...]] = (
    ("show", cli_ledger.show, example("tbot ledger show", "tbot ledger show --day 2025-09-02 --json")),
    ("verify", cli_ledger.verify, example("tbot ledger verify --mode paper")),
    ("book", cli_ledger.book, example("tbot ledger book")),
    (
        "post",
        cli_ledger.post,
        example('tbot ledger post infrastructure --amount 45.90 --reference INV-17 --why "the server of September"'),
    ),
    (
        "export",
        cli_ledger.export,
        example(
            "tbot ledger export --to beancount --out books.beancount",
            "tbot ledger export --to manager-tsv --out manager-tabs",
            "tbot ledger export --to tax-lots --out tax-lots.csv",
        ),
    ),
    ("push", cli_ledger.push, example("tbot ledger push --mapping manager.map")),
    ("lock", cli_ledger.lock, example('tbot ledger lock 2025-09-02 --why "reconciled by hand"')),
)
_BACKTEST: Final[tuple[tuple[str, Command, str], ...]] = (
    (
        "run",
        cli_backtest.run,
        example(
            "tbot backtest run --strategy open --start 2018-03-01 --end 2018-03-31 --data bars",
            "tbot backtest run --start 2018-03-02 --end 2018-03-02 --data bars.parquet --vix vix.csv --engine event "
            "--slippage spread:0.5,volume:0.1 --volume-cap 0.05",
            "tbot backtest run --strategy mid --start 2018-03-02 --end 2018-03-02 --data bars --slippage bps:2 "
            "--borrow borrow.csv --chains chains --chain-age 5",
        ),
    ),
    (
        "sweep",
        cli_backtest_sweep.sweep,
        example(
            "tbot backtest sweep --grid STRAT_OPEN_BUFFER=0.005:0.03:0.005 --start 2018-03-02 --end 2018-03-02 "
            "--data bars --objective profit_factor",
        ),
    ),
    (
        "walk-forward",
        cli_backtest_sweep.walk_forward,
        example(
            "tbot backtest walk-forward --grid STRAT_OPEN_BUFFER=0.01:0.03:0.01 --in-sample 60 --out-of-sample 20 "
            "--start 2018-01-02 --end 2018-12-31 --data bars",
        ),
    ),
    (
        "report",
        cli_backtest_report.report,
        example("tbot backtest report", "tbot backtest report --list --json"),
    ),
    (
        "compare",
        cli_backtest_compare.compare,
        example(
            "tbot backtest compare 2025-09-02",
            "tbot backtest compare 2025-09-02 --strategy open --run 1 --out compared --json",
        ),
    ),
)
_FUNDAMENTALS: Final[tuple[tuple[str, Command, str], ...]] = (
    ("refresh", cli_fundamentals.refresh, example("tbot fundamentals refresh")),
    ("show", cli_fundamentals.show, example("tbot fundamentals show", "tbot fundamentals show --json")),
)
_BACKUP: Final[tuple[tuple[str, Command, str], ...]] = (
    ("create", cli_backup.create, example("tbot backup create", "tbot backup create --local --json")),
    ("list", cli_backup.list_backups, example("tbot backup list", "tbot backup list --remote --json")),
    ("verify", cli_backup.verify, example("tbot backup verify", "tbot backup verify --all")),
    (
        "restore",
        cli_backup.restore,
        example("tbot backup restore records_paper_20250902T201500.000000Z.tar.zst.enc --into restored"),
    ),
    ("drill", cli_backup.drill, example("tbot backup drill --json")),
    ("key", cli_backup.key, example("tbot backup key --out recipient.key")),
)
_DATA: Final[tuple[tuple[str, Command, str], ...]] = (
    (
        "import",
        cli_data.import_,
        example(
            "tbot data import bars.csv --into data/mine",
            "tbot data import intraday --layout alphavantage --into data/mine",
            "tbot data import bars.csv --adjust split --actions splits.csv --into data/mine",
        ),
    ),
    (
        "fetch",
        cli_data.fetch,
        example("tbot data fetch --from alpaca --symbols AAPL,MSFT --start 2024-01-02 --end 2024-03-28 --into data/q1"),
    ),
    ("check", cli_data.check, example("tbot data check data/mine", "tbot data check bars.parquet --json")),
    ("list", cli_data.list_, example("tbot data list data", "tbot data list data --json")),
)
_ALERTS: Final[tuple[tuple[str, Command, str], ...]] = (
    ("list", cli_alerts.list_, example("tbot alerts list", "tbot alerts list --all --json")),
    ("show", cli_alerts.show, example("tbot alerts show paper-17-1")),
    ("test", cli_alerts.try_channels, example("tbot alerts test", "tbot alerts test --json")),
    ("retry", cli_alerts.retry, example("tbot alerts retry --all", "tbot alerts retry paper-17-1")),
    ("send", cli_alerts.send, example("tbot alerts send")),
    ("summary", cli_alerts.summary, example("tbot alerts summary 2025-09-02 --out day.html")),
)
_SERVICE: Final[tuple[tuple[str, Command, str], ...]] = (
    ("install", cli_service.install, example("tbot service install --user tbot", "tbot service install --print")),
    ("status", cli_service.status, example("tbot service status --json")),
)
_BROKEN_PIPE: Final = 141
"""What a shell says of a process that died of SIGPIPE."""


def _group(
    help_text: str, epilog: str, commands: Sequence[tuple[str, Command, str]], *, completion: bool = False
) -> typer.Typer:
    made = typer.Typer(
        help=help_text,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
    )
    for name, command, text in commands:
        made.command(name, epilog=text)(command)
    return made


app: Final = _group(
    "Trade three sessions a day and keep an exact ledger. TBOT_HOME names the folder of settings and records.",
    with_exit_codes(example("tbot run --rehearsal --once")),
    _COMMANDS,
    completion=True,
)
app.add_typer(_group("Look into the journal.", example("tbot journal tail --count 50"), _JOURNAL), name="journal")
app.add_typer(_group("Look at the settings and change them.", example("tbot config show"), _CONFIG), name="config")
app.add_typer(
    _group("Tell what a day came to, or many.", example("tbot report day 2025-09-02"), _REPORT), name="report"
)
app.add_typer(_group("Trade less while things go badly.", example("tbot defense show"), _DEFENSE), name="defense")
app.add_typer(_group("Look at the floats and even them out.", example("tbot float show"), _FLOAT), name="float")
app.add_typer(_group("Look at the books and keep them.", example("tbot ledger show"), _LEDGER), name="ledger")
app.add_typer(
    _group("Trade recorded days again.", example("tbot backtest report"), _BACKTEST),
    name="backtest",
)
app.add_typer(
    _group("Fetch and show market caps and volumes.", example("tbot fundamentals show"), _FUNDAMENTALS),
    name="fundamentals",
)
app.add_typer(
    _group("Make backups, and prove that they can be restored.", example("tbot backup create"), _BACKUP), name="backup"
)
app.add_typer(
    _group("Make, fetch and check the data of backtests.", example("tbot data check data/mine"), _DATA), name="data"
)
app.add_typer(_group("See to what is told by mail and chat.", example("tbot alerts test"), _ALERTS), name="alerts")
app.add_typer(_group("Run under systemd.", example("tbot service install --print"), _SERVICE), name="service")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    with scrubbed_output():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        status = app(args=list(sys.argv[1:] if argv is None else argv), prog_name="tbot", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except TbotError as error:
        complain(error)
        return status_of(error)
    except NotATradingDay as error:
        complain(f"{error}. `tbot schedule --from {error.day}` shows which days are.")
        return FAILED
    except BrokenPipeError:
        # the reader has gone: nobody to tell, and the interpreter shall not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        complain(error)
        return FAILED
    return status if isinstance(status, int) else DONE


def _usage(error: TyperException) -> int:
    """Say what is wrong with the words given, and which command explains them."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "tbot"
    message = error.format_message()
    if message.startswith("Usage:"):  # a group without a command
        typer.echo(message, err=True)
        return error.exit_code
    complain(f"{message.rstrip('.')}. `{path} --help` shows what it takes.")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

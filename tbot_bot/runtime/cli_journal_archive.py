"""The command that prunes the journal: journal archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.identity import Mode
from tbot_bot.runtime import cli_complete
from tbot_bot.runtime.cli_journal import Books
from tbot_bot.runtime.cli_output import DONE, JsonValue, day_of, emit_json
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import work

_KILOBYTE = 1_000


def archive(
    *,
    before: Annotated[
        date,
        typer.Option(
            parser=day_of,
            metavar="DAY",
            help="Move what was recorded before this day.",
            autocompletion=cli_complete.days,
        ),
    ],
    mode: Books = Mode.PAPER,
    as_json: Json = False,
) -> int:
    """Move older rows into the archive beside the journal; nothing is lost, and every command still finds them.

    While the bot does not run. The archive and the journal belong together: keep and back up both.
    """
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.journal import archive as archiving  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415

    home = tbot_home()
    path = records_for(home, mode, test_mode=False).journal
    with _nobody_writes(home):
        until = archiving.last_row_before(path, before)
        with work("archiving", until) as under_way:
            done = archiving.archive(path, mode, until, under_way.reach)
    if as_json:
        answer: dict[str, JsonValue] = {
            "rows": done.rows, "until": done.until, "archive": str(done.path),
            "bytes_before": done.bytes_before, "bytes_after": done.bytes_after,
        }  # fmt: skip
        emit_json(answer)
        return DONE
    if not done.rows:
        typer.echo(f"nothing to move: {path.name} has no rows from before {before.isoformat()}")
        return DONE
    sizes = f"{done.bytes_before // _KILOBYTE} kB before, {done.bytes_after // _KILOBYTE} kB now"
    typer.echo(f"{done.rows} rows moved; {done.path.name} ends with row {done.until}; {path.name}: {sizes}")
    return DONE


@contextmanager
def _nobody_writes(home: Path) -> Iterator[None]:
    """Hold the locks of supervisor, runner and settings: whoever writes the journal holds one of them.

    Raises:
        AlreadyRunning: somebody does.
        JournalError: there is no home yet.
    """
    from tbot_bot.config.settings import load_env  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, Lock  # noqa: PLC0415
    from tbot_bot.runtime.settings_changes import SETTINGS_LOCK  # noqa: PLC0415

    control = home / load_env(home, defaults_if_absent=True).env.control_dir
    if not control.is_dir():
        raise JournalError("there is no journal", where=str(home), mend="It is made by the first start.")
    with Lock(control / SUPERVISOR_LOCK), Lock(control / RUNNER_LOCK), Lock(control / SETTINGS_LOCK):
        yield


__all__ = ["archive"]

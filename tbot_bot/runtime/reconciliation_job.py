"""What the supervisor has done after the close: a process of its own that compares the day with every broker.

It compares the trades with what the simulator makes of them, too.

The supervisor imports no broker's library. The settings come on standard input. Killed at any step it leaves the
report of before or the whole new one; `tbot reconcile` does the same again.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.error_handler import Severity, TbotError
from tbot_bot.core.identity import Mode

if TYPE_CHECKING:
    from tbot_bot.config.settings import Settings
    from tbot_bot.reporting.report_router import OutputPaths

MODULE: Final = "tbot_bot.runtime.reconciliation_job"
SECONDS_MAX: Final = 180.0
"""Real time after which it is given up."""
_TEXT_MAX: Final = 2_000


class ReconciliationFailed(TbotError):
    """Our books of a day are not what a broker says, or could not be compared. A person has to look at it."""

    code = "RECONCILIATION"
    severity = Severity.ERROR


async def reconcile_after_day(
    settings: "Settings",
    records: "OutputPaths",
    day: date,
    log: FilteringBoundLogger,
    fail: Callable[[str, BaseException], None],
) -> None:
    """Have a process compare `day`; `fail` journals an error and alerts. Raises nothing."""
    from tbot_bot.config.settings import handed_over  # noqa: PLC0415 - once a day

    words = (sys.executable, "-m", MODULE, "--home", str(records.home), "--mode", records.mode.value)
    pipe = asyncio.subprocess.PIPE
    mend = f"`tbot reconcile {day.isoformat()} --mode {records.mode}` shows it again; see docs/daily-proof.md."
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            "--day",
            day.isoformat(),
            cwd=records.home,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        fail("reconciliation", error)
        return
    try:
        told, _ = await asyncio.wait_for(process.communicate(handed_over(settings)), SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
        why = f"{day.isoformat()} could not be compared within {SECONDS_MAX:.0f} s"
        fail("reconciliation", ReconciliationFailed(why, mend=mend))
        return
    except asyncio.CancelledError:
        process.kill()
        raise
    text = told.decode(errors="replace").strip()[-_TEXT_MAX:]
    log.info("reconciliation_job", status=process.returncode, told=text)
    if process.returncode:
        why = f"{day.isoformat()}: {text or f'the comparison ended with status {process.returncode}'}"
        fail("reconciliation", ReconciliationFailed(why, mend=mend))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare a day and say on stdout what came of it; 1 where anything differs or could not be compared."""
    from tbot_bot.config.settings import taken_over  # noqa: PLC0415 - the supervisor needs only the names above
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.runtime.cli_output import DONE, FAILED, status_of  # noqa: PLC0415
    from tbot_bot.runtime.last_resort import scrubbed_output  # noqa: PLC0415
    from tbot_bot.runtime.reconciliation_desk import reconcile_day  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--mode", type=Mode, required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    asked = parser.parse_args(argv)
    with scrubbed_output(stdout=True):
        try:
            settings = taken_over(asked.home, sys.stdin.buffer.read())
            records = records_for(asked.home, asked.mode, test_mode=False)
            found = asyncio.run(reconcile_day(settings, records, asked.day))
        except TbotError as error:
            sys.stdout.write(f"{error}\n")
            status = status_of(error)
        else:
            if found is None:
                sys.stdout.write(f"{asked.day.isoformat()} has no session\n")
                return DONE
            lines = found.lines() or (f"{asked.day.isoformat()}: {len(found.brokers)} brokers agree",)
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            status = DONE if found.passed else FAILED
        sys.stdout.flush()
        return status if _attributed(asked.home, asked.mode, asked.day) else status or FAILED


def _attributed(home: Path, mode: Mode, day: date) -> bool:
    """Write the day's attribution; say on stdout why it could not be."""
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415 - as above
    from tbot_bot.runtime.attribution_desk import attribute_day  # noqa: PLC0415

    try:
        attribute_day(records_for(home, mode, test_mode=False), day)
    except (TbotError, OSError) as error:
        sys.stdout.write(f"no attribution to the simulator: {error}\n")
        return False
    return True


__all__ = ["ReconciliationFailed", "main", "reconcile_after_day"]

if __name__ == "__main__":
    sys.exit(main())

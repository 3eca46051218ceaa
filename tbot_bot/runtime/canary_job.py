"""The canary as a process of its own: a supervisor imports no broker's library. The settings come on standard input."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

MODULE: Final = "tbot_bot.runtime.canary_job"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a canary, say on stdout what failed, and return 1 where anything did."""
    from tbot_bot.config.error_handler import TbotError  # noqa: PLC0415 - the supervisor needs only the name above
    from tbot_bot.config.settings import taken_over  # noqa: PLC0415
    from tbot_bot.core.identity import Mode  # noqa: PLC0415
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.runtime.canary import CanaryRoom, canary  # noqa: PLC0415
    from tbot_bot.runtime.cli_output import DONE, FAILED, status_of  # noqa: PLC0415
    from tbot_bot.runtime.last_resort import scrubbed_output  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--mode", type=Mode, required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    parser.add_argument("--run", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(argv)
    with scrubbed_output(stdout=True):
        try:
            settings = taken_over(asked.home, sys.stdin.buffer.read())
            records = records_for(asked.home, asked.mode, test_mode=False)
            room = CanaryRoom(settings=settings, records=records, day=asked.day, run=asked.run, quick=asked.quick)
            done = asyncio.run(canary(room))
        except TbotError as error:
            sys.stdout.write(f"{error}\n")
            return status_of(error)
        sys.stdout.write("".join(f"{line}\n" for line in done.failures))
    return DONE if done.passed else FAILED


__all__ = ["MODULE", "main"]

if __name__ == "__main__":
    sys.exit(main())

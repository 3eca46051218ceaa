"""Knocks at every enabled broker before a supervisor says that it is ready.

A process of its own: a supervisor imports no broker's library. The settings come on standard input. Exit status 6
and the reason on standard output where a broker does not know our keys, 1 where it will not let the account trade.
A broker that cannot be reached stops nothing: it is said, and the runner goes on trying, without entries there.
"""

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.config.settings import Settings, handed_over, taken_over
from tbot_bot.core.errors import BrokerProblem, CredentialsRejected
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.last_resort import scrubbed_output
from tbot_bot.runtime.runner_arguments import RunnerExit

MODULE: Final = "tbot_bot.runtime.authentication"
SECONDS_MAX: Final = 60.0
IBKR_CLIENT_ID: Final = 32_000
"""Beyond what `IBKR_CLIENT_ID` may be: a runner that is at work keeps its own."""


def authenticate(home: Path, settings: Settings) -> tuple[int, str]:
    """Return the exit status of a start (0: go on), and what to say of the brokers."""
    command = [sys.executable, "-m", MODULE, "--home", str(home)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, input=handed_over(settings), capture_output=True, timeout=SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return 0, f"the brokers gave no answer within {SECONDS_MAX:g} s; the runner goes on trying"
    words = done.stdout.decode(errors="replace").strip()
    if done.returncode in {RunnerExit.DONE, RunnerExit.CREDENTIALS, RunnerExit.CONFIGURATION}:
        return done.returncode, words
    return RunnerExit.FAILED, words or done.stderr.decode(errors="replace").strip()[-500:]


async def knock(settings: Settings) -> tuple[str, ...]:
    """Connect to each enabled broker once, and return those that cannot be reached, in words.

    Raises:
        CredentialsRejected: a broker does not know our keys.
        BrokerError: a broker will not let its account trade.
        ConfigError, MachineError: see `live_brokers`.
    """
    from tbot_bot.runtime.live_brokers import connect, live_brokers  # noqa: PLC0415 - imports client libraries

    brokers = live_brokers(settings, now=wall_now, note=lambda _: None, ibkr_client_id=IBKR_CLIENT_ID)
    silent: list[str] = []
    try:
        for broker in brokers.values():
            why = await connect(broker)
            if why:
                silent.append(f"{why}; the runner goes on trying, and opens nothing there meanwhile")
    finally:
        for broker in brokers.values():
            await broker.close()
    return tuple(silent)


def main(argv: Sequence[str] | None = None) -> int:
    """Knock, print what is wrong, and return the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__, allow_abbrev=False)
    parser.add_argument("--home", type=Path, required=True)
    given = parser.parse_args(argv)
    with scrubbed_output(stdout=True):
        try:
            words = asyncio.run(knock(taken_over(given.home, sys.stdin.buffer.read())))
        except CredentialsRejected as error:
            sys.stdout.write(f"{error}\n")
            return RunnerExit.CREDENTIALS
        except ConfigError as error:
            sys.stdout.write(f"{error}\n")
            return RunnerExit.CONFIGURATION
        except (TbotError, BrokerProblem) as error:
            sys.stdout.write(f"{error}\n")
            return RunnerExit.FAILED
        sys.stdout.write("".join(f"{word}\n" for word in words))
        return RunnerExit.DONE


if __name__ == "__main__":
    sys.exit(main())

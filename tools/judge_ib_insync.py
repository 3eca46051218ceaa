"""Holds the sandbox's TWS side against ib_insync, the original of ib_async, in an environment of its own.

    python tools/judge_ib_insync.py            (or: make judge-ib-insync)

The two libraries share a package name underneath and must not be installed together, hence the environment,
which is made in a temporary folder and removed. Needs the package registry; takes a minute.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import venv
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from tbot_bot.core.instants import SECOND, later, minutes
from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.market import SandboxMarket
from tbot_bot.sandbox.tickets import AccountTruth
from tbot_bot.sandbox.tws_gateway import VENDOR, Gateway
from tbot_bot.sandbox.tws_server import TwsServer

PACKAGE: Final = "ib_insync==0.9.86"
"""Its last version; it is archived."""
CLIENT: Final = Path(__file__).parent.parent / "tests" / "sandbox" / "foreign" / "ib_insync_client.py"
DAY: Final = date(2025, 9, 2)
_STEP_SECONDS: Final = 0.02
"""Between two seconds of market time."""
_CENT: Final = 0.005


def environment(folder: Path) -> Path:
    """Make an environment with the library in `folder` and return its interpreter.

    Raises:
        subprocess.CalledProcessError: the package cannot be had.
    """
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", PACKAGE]
    subprocess.run(pip, check=True)  # noqa: S603 - our own interpreter
    return python


async def play(python: Path) -> list[str]:
    """Run the client against a gateway whose market moves, and return what differs from the venue's truth."""
    market = SandboxMarket(SyntheticMarket(1, DAY))
    exchange = Exchange(market, accounts={VENDOR: Decimal(100_000)})
    exchange.advance_to(later(market.day.open_at, minutes(5)))
    server = TwsServer(Gateway(exchange, exchange.faults))
    await server.start()
    moving = asyncio.create_task(move(exchange))
    try:
        client = await asyncio.create_subprocess_exec(
            str(python), str(CLIENT), str(server.port), stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await client.communicate()
    finally:
        moving.cancel()
        await server.close()
    if client.returncode:
        return [f"the client ended with status {client.returncode}"]
    [account] = exchange.truth().accounts
    return differences(printed.decode(), account)


async def move(exchange: Exchange) -> None:
    """Let the market go on, for ever."""
    while True:
        exchange.advance_to(later(exchange.now(), SECOND))
        await asyncio.sleep(_STEP_SECONDS)


def differences(printed: str, account: AccountTruth) -> list[str]:
    """Compare what the client printed with what the venue knows."""
    seen = json.loads(printed.splitlines()[-1])
    fills = [[float(fill.price), float(fill.quantity), float(fill.fees)] for fill in account.fills]
    positions = sorted([symbol, float(held)] for symbol, held, _ in account.positions)
    print(f"ib_insync {seen['version']}: {len(fills)} fills, positions {positions}, cash {seen['cash']}")
    found = []
    if seen["fills"] != fills:
        found.append(f"fills: client {seen['fills']}, venue {fills}")
    if seen["positions"] != positions:
        found.append(f"positions: client {seen['positions']}, venue {positions}")
    if abs(seen["cash"] - float(account.cash)) > _CENT:
        found.append(f"cash: client {seen['cash']}, venue {account.cash}")
    return found


def main() -> int:
    """Judge, and return the exit status: 0 where client and venue agree."""
    with tempfile.TemporaryDirectory(prefix="judge-ib-insync-") as folder:
        found = asyncio.run(play(environment(Path(folder))))
    for difference in found:
        print(difference, file=sys.stderr)
    print("the client and the venue differ" if found else "the client and the venue agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

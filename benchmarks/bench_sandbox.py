"""The sandbox: orders a second over real sockets, from one client and from several, and a whole day's ticks.

Usage: python benchmarks/bench_sandbox.py [--orders 2000]
A process of its own serves (`tbot sandbox`); this one places market and limit orders over kept connections.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal

import httpx2

from tbot_bot.marketdata.synthetic import SyntheticMarket
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.market import SandboxMarket

PROGRAM = "from tbot_bot.runtime.cli import main; raise SystemExit(main())"
FREE = ("--port-alpaca", "0", "--port-finnhub", "0", "--port-tws", "0", "--admin-port", "0")
KEYS = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}
CLIENTS = (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=2000)
    orders = parser.parse_args().orders
    words = [sys.executable, "-c", PROGRAM, "sandbox", "--json", "--no-limits", "--speed", "60", "--begin", "09:40"]
    for clients in CLIENTS:
        with subprocess.Popen([*words, *FREE, "--cash", "1000000000"], stdout=subprocess.PIPE, text=True) as server:
            url = json.loads(announced(server))["settings"]["ALPACA_PAPER_URL"]
            latencies, seconds = asyncio.run(place(url, orders, clients))
            server.terminate()
        cuts = statistics.quantiles(latencies, n=100)
        print(
            f"{clients} connection{'s' if clients > 1 else ' '}: {orders / seconds:7.0f} orders a second, "
            f"answer median {cuts[49] * 1e3:.2f} ms, p99 {cuts[98] * 1e3:.2f} ms"
        )
    day_of_ticks()


def announced(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    text = ""
    for line in server.stdout:
        text += line
        if line == "}\n":
            break
    return text


async def place(url: str, orders: int, clients: int) -> tuple[list[float], float]:
    """Return each answer's seconds and the seconds in all."""
    latencies: list[float] = []
    numbers = iter(range(orders))

    async def work() -> None:
        async with httpx2.AsyncClient(base_url=url, headers=KEYS) as client:
            for number in numbers:
                body = {
                    "symbol": f"SYN{number % 40 + 1:02d}",
                    "qty": "1",
                    "side": "buy",
                    "type": "market" if number % 2 else "limit",
                    "time_in_force": "day",
                    "client_order_id": f"bench-{number}",
                } | ({} if number % 2 else {"limit_price": "1000"})
                begun = time.perf_counter()
                answer = await client.post("/v2/orders", json=body)
                latencies.append(time.perf_counter() - begun)
                assert answer.status_code == 200, answer.text  # noqa: PLR2004

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return latencies, time.perf_counter() - begun


def day_of_ticks() -> None:
    """Time a day without orders and subscribers, and one with the whole tape told."""
    for watched in (False, True):
        market = SandboxMarket(SyntheticMarket(1, date(2025, 9, 2)))
        exchange = Exchange(market, accounts={"alpaca": Decimal(100_000)})
        told = 0

        def count(_: object) -> None:
            nonlocal told
            told += 1

        if watched:
            exchange.watch(count, market.symbols)
        begun = time.perf_counter()
        exchange.advance_to(market.day.close_at)
        seconds = time.perf_counter() - begun
        what = f"{told} messages of the tape" if watched else "no subscriber"
        print(f"a day of {(market.day.close_at - market.day.open_at) // market.tick} ticks, {what}: {seconds:.2f} s")


if __name__ == "__main__":
    main()

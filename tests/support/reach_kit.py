"""Alpaca and IB as the sandbox has them, a home that points there, and whatever closes our positions by itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Final

import requests

from tbot_bot.core.identity import Leg, OrderName
from tbot_bot.core.instants import seconds
from tbot_bot.core.instruments import Instrument, equity, put_option
from tbot_bot.core.money import ZERO
from tbot_bot.runtime.cli_sandbox import settings_for
from tbot_bot.runtime.locks import RUNNER_LOCK, holder
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.sandbox.tickets import Kind, Order, Ticket
from tests.support.doomed_runner import EXPIRY, HELD, SESSION, WAITING
from tests.support.sandbox import SandboxThread, until
from tests.support.terminal import REPOSITORY

PATIENCE_SECONDS: Final = 60.0
FOREIGN: Final = Decimal(5)
GUARDED: Final = """
import asyncio, sys
from pathlib import Path
from tbot_bot.config.choices import GuardPolicy
from tbot_bot.runtime.guard import Guard, GuardRules
rules = GuardRules(timeout_seconds=0.01, policy=GuardPolicy(sys.argv[2]))
sys.exit(asyncio.run(Guard(Path(sys.argv[1]), rules, print).once()))
"""


class Ground:
    """One broker with a position of ours and one of somebody else's, in the same symbol; the market stands still."""

    def __init__(self, home: Path, broker: str, **settings: str) -> None:
        self.home, self.broker = home, broker
        live = settings.get("TEST_MODE") == "false"
        self.sandbox = SandboxThread("alpaca", "finnhub", "tws", live=live)
        until(lambda: self.sandbox.sandbox.ports["tws"], "the gateway's port")
        self.desk = self.sandbox.exchange.desk(broker)
        chosen = {
            "TEST_MODE_VENUE": "broker_paper",
            "ALPACA_ENABLED": str(broker == "alpaca").lower(),
            "IBKR_ENABLED": str(broker == "ibkr").lower(),
        }
        self.write(
            ".env",
            ".env.example",
            settings_for(self.sandbox.sandbox.ports, live=live) | settings,
        )
        self.write(".env_bot", ".env_bot.template-test", chosen | settings)
        (home / "VERSION.md").write_text((REPOSITORY / "VERSION.md").read_text())
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, name: str, template: str, values: Mapping[str, str]) -> None:
        lines = (REPOSITORY / template).read_text(encoding="utf-8").splitlines()
        names = [line.partition("=")[0] for line in lines]
        found = [f"{name}={values[name]}" if name in values else line for name, line in zip(names, lines, strict=True)]
        (self.home / name).write_text("\n".join(found) + "\n", encoding="utf-8")
        (self.home / name).chmod(0o600)

    # --- what is there ------------------------------------------------------------------------------------------------

    def orders(self) -> tuple[Order, ...]:
        return self.sandbox.do(self.desk.orders)

    def ours(self) -> dict[str, Order]:
        """Return our orders by their names."""
        return {one.ticket.label: one for one in self.orders() if OrderName.parse(one.ticket.label) is not None}

    def resting(self) -> list[str]:
        return [one.ticket.label for one in self.sandbox.do(self.desk.open_orders)]

    def held(self) -> dict[str, Decimal]:
        found = self.sandbox.do(self.desk.positions)
        return {one.instrument.symbol: one.quantity for one in found if one.quantity != ZERO}

    def sold(self) -> Decimal:
        """Return how much of our orders was sold."""
        return sum((one.filled for one in self.ours().values() if not one.ticket.buys), ZERO)

    def exits(self) -> list[str]:
        return [name for name in self.ours() if (found := OrderName.parse(name)) and found.leg is Leg.DEAD_MAN]

    def put(self) -> Instrument:
        """Return a put on the share in which we and somebody else trade, about at the money."""
        market = self.sandbox.exchange.market
        share = self.sandbox.do(lambda: market.price(HELD, self.sandbox.exchange.now()))
        assert share is not None
        return put_option(HELD, EXPIRY, Decimal(5) * (share // 5))

    # --- what happens -------------------------------------------------------------------------------------------------

    def somebody_else_trades(self) -> None:
        """Let somebody else buy in the same symbol, and have an order of theirs rest."""

        def by_hand(label: str, symbol: str, limit: Decimal | None) -> None:
            if self.broker == "alpaca":
                self._by_website(label, symbol, limit)
                return
            kind = Kind.MARKET if limit is None else Kind.LIMIT
            ticket = Ticket(
                instrument=equity(symbol), buys=True, quantity=FOREIGN, kind=kind, limit=limit, label=label
            )  # fmt: skip
            self.sandbox.do(lambda: self.desk.place(ticket))

        by_hand("by hand 1", HELD, None)
        self.sandbox.wait(seconds(30))
        by_hand("by hand 2", WAITING, Decimal(1))

    def _by_website(self, label: str, symbol: str, limit: Decimal | None) -> None:
        body = {"symbol": symbol, "qty": str(FOREIGN), "side": "buy", "time_in_force": "day", "client_order_id": label}
        body |= {"type": "market"} if limit is None else {"type": "limit", "limit_price": str(limit)}
        keys = {"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"}
        requests.post(f"{self.sandbox.url('alpaca')}/v2/orders", json=body, headers=keys, timeout=10).raise_for_status()

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a program of ours."""
        process = subprocess.Popen(
            [sys.executable, *command], cwd=REPOSITORY, env={**os.environ, "TBOT_HOME": str(self.home)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def runner_dies_in_the_market(self, *words: str) -> None:
        """Start a runner, let it trade, and kill it."""
        kept_by_it = self.broker == "alpaca" and "put" in words  # Alpaca holds no stop that watches a share
        runner = self.start("-m", "tests.support.doomed_runner", str(self.home), self.broker, *words)
        self.moving(lambda: len(found := self.resting()) >= 3 - kept_by_it and WAITING in "".join(found), runner)
        assert runner.stdout is not None
        assert runner.stdout.readline() == "open\n"
        runner.send_signal(signal.SIGKILL)
        runner.wait()

    def moving(self, true: Callable[[], object], process: "subprocess.Popen[str]") -> None:
        """Let the market move until `true`."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < end, (self.ours(), self.held())
            self.sandbox.wait(seconds(1))
            time.sleep(0.03)

    def path(self, way: str) -> "subprocess.Popen[str]":
        """Start one of the ways to close our positions."""
        match way:
            case "kill" | "flatten":
                return self.start("-m", "tbot_bot.runtime.cli", way, "--why", "a test", "--wait", "40")
            case "dead_man":
                argv = RunnerArguments(session=SESSION, home=self.home).argv()
                return self.start("-m", "tbot_bot.runtime.dead_man", "--seconds", "40", *argv)
            case _:
                policy = {"guard": "flatten", "guard_cancel": "cancel"}[way]
                return self.start("-c", GUARDED, str(self.home), policy)

    def left_behind(self) -> None:
        """Kill what a killed command had started in a session of its own: whoever holds the runner's lock."""
        pid = holder(self.home / "control" / RUNNER_LOCK)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ended(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        """Let the market move until a path has ended; return its exit status and what it said."""
        end = time.monotonic() + PATIENCE_SECONDS
        while process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            self.sandbox.wait(seconds(1))
            time.sleep(0.03)
        return process.returncode, process.communicate()[0]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.sandbox.close()

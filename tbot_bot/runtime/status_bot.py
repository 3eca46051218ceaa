"""What the bot is doing, in words, from `output/status_bot.json`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tbot_bot.config.settings import tbot_home
from tbot_bot.core.events import MARKET_DATA
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import iso
from tbot_bot.core.money import plain
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_logger import (
    BotStatus,
    CanaryResult,
    OpenCircuit,
    OpenPosition,
    OthersOrder,
    WaitingSignal,
    read_status,
)
from tbot_bot.runtime.background import say
from tbot_bot.runtime.cli_output import printable
from tbot_bot.runtime.clock import wall_now


def show_status(home: Path) -> int:
    """Print the status of `home`; exit status 1 where there is none that can be read."""
    found = read_status(OutputPaths(home=home, mode=Mode.PAPER).status, wall_now())
    if found.words:
        say(found.words)
    if found.status is None:
        return 1
    for line in status_lines(found.status):
        say(line)
    return 0


def status_lines(status: BotStatus) -> Iterator[str]:
    """Yield the status as lines of text."""
    reason = f": {status.state_reason}" if status.state_reason else ""
    yield f"{status.state}{reason}"
    test = ", test mode" if status.test_mode else ""
    yield f"version {status.version}, mode {status.mode}{test}, pid {status.pid}, written {iso(status.written_at)}"
    if status.session:
        phase = f", phase {status.phase}" if status.phase else ""
        yield f"session {status.session}{phase}"
        yield (
            f"candidates {status.candidates}, signaled {status.signaled}, entered {status.entered},"
            f" exited {status.exited}, rejected {status.rejected}"
        )
        yield f"result {plain(status.realized_total)} realised, {plain(status.unrealized_total)} open"
    for signal in status.waiting:
        yield waiting_line(signal)
    for position in status.positions:
        yield _position(position)
    yield from _broker_lines(status)
    if status.canary is not None:
        yield canary_line(status.canary)
    if status.kill_switch:
        yield "the kill switch is engaged"
    if status.entries_suspended:
        yield f"no new entries: {status.entries_suspended}"
    for error in status.last_errors:
        yield f"error: {error}"


def _broker_lines(status: BotStatus) -> Iterator[str]:
    for broker in status.brokers:
        state = "connected" if broker.connected else "not connected"
        yield f"broker {broker.name} {state}{', halted' if broker.halted else ''}"
    for circuit in status.circuits:
        yield circuit_line(circuit)
    for order in status.foreign_orders:
        yield foreign_order_line(order)


def waiting_line(signal: WaitingSignal) -> str:
    """Return a signal that waits for a person as one line; its id first is what a person has to copy."""
    wish = f"{signal.symbol} {signal.side} at {plain(signal.price)}"
    return f"waiting for confirmation: {signal.trade_id} ({wish}; lapses {iso(signal.lapses_at)})"


def circuit_line(circuit: OpenCircuit) -> str:
    """Return what is left alone for a while, and why, as one line."""
    asked = f"not asked for {circuit.open_seconds:.0f} s after {circuit.failures} failures"
    whose = "market data" if circuit.broker == MARKET_DATA else f"broker {circuit.broker}"
    return f"{whose}: {circuit.endpoint} {asked}: {circuit.problem}"


def foreign_order_line(order: OthersOrder) -> str:
    """Return an order that is not ours as one line."""
    quantity = "some" if order.quantity is None else plain(order.quantity)
    price = "" if order.price is None else f" at {plain(order.price)}"
    name = printable(order.name or order.broker_order_id)
    return f"broker {order.broker}: not ours: {order.side} {quantity} {printable(order.symbol)}{price} ({name})"


def canary_line(canary: CanaryResult) -> str:
    """Return what the canary before the open found as one line."""
    told = "passed" if canary.passed else f"FAILED, no session begins: {'; '.join(canary.failures)}"
    return f"canary of {canary.day.isoformat()} {told}"


def _position(position: OpenPosition) -> str:
    price = "unknown" if position.current_price is None else plain(position.current_price)
    stop = "no stop" if position.stop_price is None else f"stop {plain(position.stop_price)}"
    held = f"{plain(position.quantity)} {position.symbol} at {position.broker}"
    return f"position {held}: {position.side}, in at {plain(position.entry_price)}, now {price}, {stop}"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tbot_bot.runtime.status_bot",
        description="Say what the bot is doing.",
        epilog="example: python -m tbot_bot.runtime.status_bot",
        allow_abbrev=False,
    )
    parser.add_argument("--home", type=Path, default=None, help="the installation's folder (default: TBOT_HOME)")
    given = parser.parse_args(argv)
    return show_status(given.home or tbot_home())


if __name__ == "__main__":
    sys.exit(main())

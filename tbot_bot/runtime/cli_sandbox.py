"""The command `tbot sandbox`: the vendors' stand-ins on this machine, until it is told to stop."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, INTERRUPTED, JsonValue, day_of, emit_json, speed_of
from tbot_bot.runtime.cli_run import Json, Vix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tbot_bot.core.instants import Instant
    from tbot_bot.core.market_day import MarketDay
    from tbot_bot.runtime.clock import RunClock
    from tbot_bot.sandbox.exchange import Exchange
    from tbot_bot.sandbox.server import Sandbox

_PORT_MAX: Final = 65535
_SPEEDS: Final = ("real", "hand")


def pace_of(text: str) -> str:
    """Read `real`, `hand` or a speed.

    Raises:
        typer.BadParameter: neither.
    """
    if text in _SPEEDS:
        return text
    if text == "max":
        msg = "max is for dry runs; give a number such as 60, real or hand"
        raise typer.BadParameter(msg)
    return str(speed_of(text))


def begin_of(text: str) -> str:
    """Read a New York time of day.

    Raises:
        typer.BadParameter: none.
    """
    from datetime import time  # noqa: PLC0415 - one of two uses

    try:
        return time.fromisoformat(text).strftime("%H:%M:%S")
    except ValueError:
        msg = f"{text!r} is not a New York time of day; write it as 09:25"
        raise typer.BadParameter(msg) from None


def _port(name: str, of: str) -> typer.models.OptionInfo:
    found = typer.Option(f"--{name}", min=0, max=_PORT_MAX, metavar="PORT", help=f"Port of {of}; 0 takes a free one.")
    assert isinstance(found, typer.models.OptionInfo)  # noqa: S101 - typer types it loosely
    return found


def sandbox(
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Recorded bars (Parquet or CSV) instead of synthetic ones."),
    ] = None,
    day: Annotated[
        date | None, typer.Option(parser=day_of, metavar="DAY", help="Trading day; with --speed real, today.")
    ] = None,
    vix: Vix = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="NUMBER", help="Of the synthetic market, and of the way inside bars.")
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            parser=pace_of,
            metavar="NUMBER|real|hand",
            help="Market seconds a second, the machine's time, or steps.",
        ),
    ] = "60",
    begin: Annotated[
        str, typer.Option(parser=begin_of, metavar="HH:MM", help="New York time at which the market's clock starts.")
    ] = "09:25",
    cash: Annotated[int, typer.Option(min=1, metavar="DOLLARS", help="In each account.")] = 100_000,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan of what goes wrong (docs/sandbox.md).")
    ] = None,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="Count no calls against the vendors' limits.")] = False,
    live_accounts: Annotated[
        bool, typer.Option("--live-accounts", help="Stand in for live accounts: to rehearse with TEST_MODE=false.")
    ] = False,
    port_alpaca: Annotated[int, _port("port-alpaca", "Alpaca")] = 6911,
    port_finnhub: Annotated[int, _port("port-finnhub", "Finnhub")] = 6912,
    port_tws: Annotated[int, _port("port-tws", "Interactive Brokers")] = 6913,
    admin_port: Annotated[int, _port("admin-port", "the operator's endpoint")] = 6910,
    as_json: Json = False,
) -> int:
    """Stand in for Alpaca, Interactive Brokers and Finnhub on this machine, until Ctrl-C.

    Prints the settings that point a bot at it. Loopback only; no account, no key, no money.
    """
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.runtime.requests import REHEARSAL_DAY  # noqa: PLC0415
    from tbot_bot.sandbox.server import ADMIN, ALPACA, FINNHUB, TWS, Sandbox  # noqa: PLC0415

    chosen = day or (_today() if speed == "real" else REHEARSAL_DAY)
    source = _market_day(chosen, data=data, vix=vix, seed=seed)
    clock = _clock(source, speed, begin)
    exchange = _exchange(source, clock, seed=seed, cash=Decimal(cash), faults=faults, begin=begin)
    ports = {ALPACA: port_alpaca, FINNHUB: port_finnhub, TWS: port_tws, ADMIN: admin_port}
    made = Sandbox(exchange, ports, cash=Decimal(cash), limited=not no_limits, live_accounts=live_accounts)
    return asyncio.run(_serve(made, clock, as_json=as_json, live=live_accounts))


async def _serve(made: "Sandbox", clock: "RunClock | None", *, as_json: bool, live: bool) -> int:
    """Serve until SIGINT or SIGTERM and return the exit status."""
    import asyncio  # noqa: PLC0415 - `--help` stays fast
    import signal  # noqa: PLC0415

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    taken: list[signal.Signals] = []

    def ask(number: signal.Signals) -> None:
        taken.append(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number)
    try:
        await made.start()
        _announce(made, clock, as_json=as_json, live=live)
        await made.serve(stop)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return INTERRUPTED if taken[:1] == [signal.SIGINT] else DONE


def _announce(made: "Sandbox", clock: "RunClock | None", *, as_json: bool, live: bool) -> None:
    from tbot_bot.core.instants import iso  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.clock import CompressedClock  # noqa: PLC0415

    exchange = made.exchange
    settings = settings_for(made.ports, live=live)
    if as_json:
        facts: JsonValue = {
            "day": exchange.market.day.day.isoformat(),
            "market_time": iso(exchange.now()),
            "speed": None if clock is None else clock.speed,
            "anchor": clock.anchor() if isinstance(clock, CompressedClock) else None,
            "symbols": len(exchange.market.symbols),
            "ports": dict(made.ports),
            "settings": dict(settings),
            "notices": list(exchange.market.source.notices),
        }
        emit_json(facts)
        return
    for notice in exchange.market.source.notices:
        typer.echo(f"# {notice}")
    speed = "stepped by hand" if clock is None else f"{clock.speed:g} market seconds per second"
    typer.echo(
        f"# {exchange.market.day.day}, {len(exchange.market.symbols)} symbols, now {iso(exchange.now())}, {speed}"
    )
    typer.echo("# for .env:")
    for name, value in settings.items():
        typer.echo(f"{name}={value}")
    typer.echo(f"# truth, faults, clock, halts: http://127.0.0.1:{made.ports['admin']}/  (Ctrl-C ends)")


def settings_for(ports: "Mapping[str, int]", *, live: bool = False) -> dict[str, str]:
    """Return the lines of `.env` that point a bot at the sandbox; `live`: as at its live accounts."""
    from tbot_bot.sandbox.tws_gateway import ACCOUNT, LIVE_ACCOUNT  # noqa: PLC0415 - `--help` stays fast

    alpaca, kind = f"http://127.0.0.1:{ports['alpaca']}", "LIVE" if live else "PAPER"
    return {
        f"ALPACA_{kind}_API_KEY": "changeme",
        f"ALPACA_{kind}_SECRET_KEY": "changeme",
        f"ALPACA_{kind}_URL": alpaca,
        "ALPACA_DATA_URL": alpaca,
        "ALPACA_STREAM_URL": f"ws://127.0.0.1:{ports['alpaca']}",
        "FINNHUB_API_KEY": "changeme",
        "FINNHUB_URL": f"http://127.0.0.1:{ports['finnhub']}/api/v1",
        "YAHOO_URL": f"http://127.0.0.1:{ports['finnhub']}/yahoo",
        "IBKR_HOST": "127.0.0.1",
        f"IBKR_{kind}_PORT": str(ports["tws"]),
        f"IBKR_{kind}_ACCOUNT_NUMBER": LIVE_ACCOUNT if live else ACCOUNT,
    }


def _today() -> date:
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    return exchange_time(wall_now()).date()


def _market_day(day: date, *, data: Path | None, vix: Path | None, seed: int | None) -> "MarketDay":
    from tbot_bot.runtime.market_source import market_day_of  # noqa: PLC0415 - `--help` stays fast

    return market_day_of(day, data=data, vix=vix, seed=seed)


def _clock(source: "MarketDay", speed: str, begin: str) -> "RunClock | None":
    from tbot_bot.runtime.clock import CompressedClock, RealClock  # noqa: PLC0415 - `--help` stays fast

    if speed == "real":
        return RealClock()
    return None if speed == "hand" else CompressedClock.starting_at(_beginning(source, begin), float(speed))


def _beginning(source: "MarketDay", begin: str) -> "Instant":
    from datetime import time  # noqa: PLC0415 - one of two uses

    from tbot_bot.core.calendar import new_york  # noqa: PLC0415 - `--help` stays fast

    return new_york(source.day.day, time.fromisoformat(begin))


def _exchange(
    source: "MarketDay",
    clock: "RunClock | None",
    *,
    seed: int | None,
    cash: Decimal,
    faults: Path | None,
    begin: str,
) -> "Exchange":
    from tbot_bot.runtime.market_source import DEFAULT_SEED  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.sandbox.exchange import Exchange  # noqa: PLC0415
    from tbot_bot.sandbox.fault_file import read_plan  # noqa: PLC0415
    from tbot_bot.sandbox.market import SandboxMarket  # noqa: PLC0415

    market = SandboxMarket(source, seed=DEFAULT_SEED if seed is None else seed)
    made = Exchange(market, accounts={"alpaca": cash, "ibkr": cash}, clock=clock)
    if faults is not None:
        rules, fault_seed = read_plan(faults)
        made.faults.set(rules, seed=fault_seed)
    made.advance_to(_beginning(source, begin) if clock is None else clock.now())
    return made

"""Commands on the cached fundamentals: fundamentals refresh, show."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, console, emit_json
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.core.instants import Instant
    from tbot_bot.marketdata.fundamentals_cache import KnownFacts

_SHOWN: Final = 10


def refresh(*, as_json: Json = False) -> int:
    """Fetch what is older than a night, at the vendor's pace; may be interrupted, and goes on where it ended."""
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415
    from tbot_bot.runtime.fundamentals_job import refresh_fundamentals  # noqa: PLC0415

    settings = load_settings(tbot_home(), {}, defaults_if_absent=True)
    with waiting("fundamentals") as say:
        report = asyncio.run(
            refresh_fundamentals(settings, lambda done, of: say(f"fundamentals: {done} of {of} symbols"))
        )
    if as_json:
        emit_json(to_plain(report))
    else:
        console().print(str(report))
    return FAILED if report.ended else DONE


def show(
    symbol: Annotated[str, typer.Argument(metavar="[SYMBOL]", help="Only this symbol; default: a summary.")] = "",
    *,
    as_json: Json = False,
) -> int:
    """Print what is known of a symbol, by whom and since when; or how much is known, and what failed."""
    from tbot_bot.config.error_handler import DataError  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.live_sources import open_cache  # noqa: PLC0415

    with open_cache(tbot_home()) as cache:
        known, now = cache.facts(), wall_now()
    if symbol and symbol.upper() not in known:
        mend = "`tbot fundamentals refresh` fetches it if UNIVERSE or the broker lists it."
        raise DataError(f"nothing is known of {symbol.upper()}", mend=mend)
    chosen = [known[symbol.upper()]] if symbol else list(known.values())
    usable = sum(1 for one in chosen if one.usable(now))
    if as_json:
        rows: list[JsonValue] = [_json(one, now) for one in chosen]
        emit_json({"symbols": rows, "usable": usable})
    elif symbol:
        for name, value in _json(chosen[0], now).items():
            console().print(f"{name:15} {'-' if value is None else value}")
    else:
        _print_summary(chosen, usable)
    return DONE


def _print_summary(known: "list[KnownFacts]", usable: int) -> None:
    out = console()
    failed = [one for one in known if one.failures]
    out.print(f"{len(known)} symbols known, {usable} usable, {len(failed)} failed at the last try")
    for one in failed[:_SHOWN]:
        out.print(f"  {one.symbol}: {one.failure} ({one.failures} times)")
    if len(failed) > _SHOWN:
        out.print(f"  and {len(failed) - _SHOWN} more; --json has them all")


def _json(one: "KnownFacts", now: "Instant") -> dict[str, JsonValue]:
    from tbot_bot.core.instants import iso  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.money import plain  # noqa: PLC0415

    return {
        "symbol": one.symbol,
        "market_cap": None if one.market_cap is None else plain(one.market_cap),
        "average_volume": None if one.average_volume is None else plain(one.average_volume),
        "sector": one.sector,
        "exchange": one.exchange,
        "source": one.facts_source,
        "fetched_at": None if one.facts_at is None else iso(one.facts_at),
        "profile_at": None if one.profile_at is None else iso(one.profile_at),
        "usable": one.usable(now),
        "failures": one.failures,
        "failure": one.failure,
    }


__all__ = ["refresh", "show"]

"""Reads the query strings that Alpaca's endpoints share; each reader refuses as the vendor does."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from starlette.requests import Request

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant, instant, parse_iso
from tbot_bot.core.instruments import Instrument
from tbot_bot.sandbox.alpaca_requests import AlpacaError, malformed

_BAD_REQUEST = 400


def bad_request(message: str) -> AlpacaError:
    """Return 400, the market data's answer to a query that cannot be read."""
    return AlpacaError(_BAD_REQUEST, None, message)


def day_in(request: Request, name: str) -> date | None:
    """Return a day, None where none is given; of a time, its day."""
    given = request.query_params.get(name)
    if not given:
        return None
    try:
        return date.fromisoformat(given[:10])
    except ValueError:
        raise malformed(f"invalid {name}: {given}") from None


def instant_in(request: Request, name: str, *, end: bool = False) -> Instant | None:
    """Return a time, None where none is given; a bare day is its first instant in UTC, or (`end`) its last."""
    given = request.query_params.get(name)
    if not given:
        return None
    try:
        if len(given) == len("2025-09-02"):
            moment = time.max if end else time.min
            return instant(datetime.combine(date.fromisoformat(given), moment, tzinfo=UTC))
        return parse_iso(given.replace(" ", "+"))  # a plus that was not quoted
    except (ValueError, OverflowError):
        raise malformed(f"invalid {name}: {given}") from None


def limit_in(request: Request, usual: int, most: int, *, name: str = "limit") -> int:
    """Return how many are asked for."""
    given = request.query_params.get(name)
    if not given:
        return usual
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= most:
        raise malformed(f"{name} must be from 1 to {most}")
    return int(given)


def token_in(request: Request) -> int:
    """Return where a page begins."""
    given = request.query_params.get("page_token", "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 10):  # noqa: PLR2004 - ours are short
        raise bad_request(f"invalid page_token: {given}")
    return int(given or 0)


def symbols_in(request: Request) -> list[str]:
    """Return the symbols of a query, sorted, each once."""
    given = request.path_params.get("symbol") or request.query_params.get("symbols", "")
    symbols = sorted({symbol.strip() for symbol in given.split(",") if symbol.strip()})
    if not symbols:
        raise bad_request("symbols is required")
    return symbols


def new_york_day(at: Instant) -> date:
    """Return the exchange's day of an instant."""
    return exchange_time(at).date()


def contract_wanted(put: Instrument, request: Request) -> bool:
    """Return whether a put fits the query's expiry and strike."""
    exact, since, until = (day_in(request, f"expiration_date{end}") for end in ("", "_gte", "_lte"))
    expiry = put.expiry or date.max
    low, high = (_strike(request, f"strike_price_{end}") for end in ("gte", "lte"))
    return (
        (exact is None or expiry == exact)
        and (since is None or expiry >= since)
        and (until is None or expiry <= until)
        and (low is None or put.strike >= low)
        and (high is None or put.strike <= high)
    )


def _strike(request: Request, name: str) -> Decimal | None:
    given = request.query_params.get(name)
    if not given:
        return None
    try:
        return Decimal(given)
    except ArithmeticError:
        raise malformed(f"invalid {name}: {given}") from None

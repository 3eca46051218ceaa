"""Alpaca at wire level: one port for trading, market data and both websockets."""

import base64
import binascii
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tbot_bot.core.instants import MINUTE, SECOND
from tbot_bot.sandbox.alpaca_book import VENDOR, AlpacaBook
from tbot_bot.sandbox.alpaca_data import AlpacaData
from tbot_bot.sandbox.alpaca_requests import NOT_FOUND
from tbot_bot.sandbox.alpaca_streams import AlpacaStreams
from tbot_bot.sandbox.alpaca_trading import AlpacaTrading
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.serving import App, Gate, Receive, Scope, Send, answer

KEYS: Final = ("changeme", "changeme")
RATE_LIMIT: Final = 200
"""Calls in a market minute, of trading and of data each; the vendor's basic plan."""
_RATE_LIMITED: Final = 42910000


def alpaca_app(
    exchange: Exchange, *, cash_start: Decimal, keys: tuple[str, str] = KEYS, rate_limit: int | None = RATE_LIMIT
) -> App:
    """Return the application; without a `rate_limit` nobody is told to slow down."""
    book = AlpacaBook(exchange)
    trading = AlpacaTrading(exchange, book, cash_start=cash_start)
    streams = AlpacaStreams(exchange, book, keys=keys)
    inner = Starlette(
        routes=[*streams.routes(), *trading.routes(), *AlpacaData(exchange).routes()],
        exception_handlers={404: _nothing_here, 405: _nothing_here},
    )
    return Gate(_Door(inner, exchange, keys, rate_limit), exchange.faults, VENDOR)


class _Door:
    """Knows the keys and counts the calls; what no route takes is 404 in the vendor's words."""

    def __init__(self, app: ASGIApp, exchange: Exchange, keys: tuple[str, str], rate_limit: int | None) -> None:
        self._app, self._exchange, self._keys, self._limit = app, exchange, keys, rate_limit
        self._calls: dict[str, tuple[int, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        headers = self._rate(request.url.path)
        if headers.get("X-RateLimit-Remaining") == "-1":
            refused = answer({"code": _RATE_LIMITED, "message": "rate limit exceeded"}, 429, headers | {
                "X-RateLimit-Remaining": "0"
            })  # fmt: skip
            await refused(scope, receive, send)
        elif _keys_of(request) != self._keys:
            words = "forbidden." if request.url.path.startswith("/v1beta1") else "unauthorized."
            await answer({"message": words}, 401, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send, headers))

    def _rate(self, path: str) -> dict[str, str]:
        """Count a call and return the vendor's headers; -1 left where there are too many."""
        if self._limit is None:
            return {}
        minute = self._exchange.now() // MINUTE
        purse = "data" if path.startswith(("/v2/stocks", "/v1beta1")) else "trading"
        then, count = self._calls.get(purse, (minute, 0))
        count = count + 1 if then == minute else 1
        self._calls[purse] = (minute, count)
        return {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(max(self._limit - count, -1)),
            "X-RateLimit-Reset": str((minute + 1) * MINUTE // SECOND),
        }


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def sent(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            present = message.get("headers", [])
            assert isinstance(present, list)  # noqa: S101 - the protocol's own
            message["headers"] = [*present, *own]
        await send(message)

    return sent  # type: ignore[return-value]


async def _nothing_here(request: Request, _: Exception) -> Response:
    """Answer for a path that the vendor has and the sandbox has not, or that nobody has."""
    return answer({"code": NOT_FOUND, "message": f"endpoint not found: {request.method} {request.url.path}"}, 404)


def _keys_of(request: Request) -> tuple[str, str]:
    headers = request.headers
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return name, secret
    return headers.get("apca-api-key-id", ""), headers.get("apca-api-secret-key", "")

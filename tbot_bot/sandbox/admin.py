"""The operator's side of the sandbox: the venue's truth, faults, the clock, halts. JSON over HTTP on loopback.

    GET  /            what is there            GET  /truth         orders, fills, positions, cash
    GET  /faults      the plan in force        PUT  /faults        another plan (as in a file)
    GET  /faults/struck  what struck, newest last
    GET  /clock       market time              POST /clock         {"advance_to": "2025-09-02T14:00:00Z"}, by hand only
    POST /halts       {"symbol": "SYN01", "halted": true}

A call must name this machine in its Host header, so that no web page can reach it through a browser.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import iso, parse_iso
from tbot_bot.reporting.shapes import to_plain
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.fault_file import parse_plan, plan_plain, rule_plain
from tbot_bot.sandbox.serving import App, Json, answer, host_allowed

Handler = Callable[[Request], Awaitable[Json]]


class _Unusable(Exception):
    """What was asked cannot be done; the words say why."""


def admin_app(exchange: Exchange, ports: Callable[[], Mapping[str, int]]) -> App:
    """Return the application; `ports` tells which vendors are served where."""
    desk = _Admin(exchange, ports)
    table: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/", desk.overview),
        ("GET", "/truth", desk.truth),
        ("GET", "/faults", desk.faults),
        ("PUT", "/faults", desk.set_faults),
        ("GET", "/faults/struck", desk.struck),
        ("GET", "/clock", desk.clock),
        ("POST", "/clock", desk.advance),
        ("POST", "/halts", desk.halt),
    )
    return Starlette(routes=[Route(path, _served(handler), methods=[method]) for method, path, handler in table])


class _Admin:
    def __init__(self, exchange: Exchange, ports: Callable[[], Mapping[str, int]]) -> None:
        self._exchange, self._ports = exchange, ports

    async def overview(self, _: Request) -> Json:
        return {
            "clock": await self.clock(_),
            "ports": dict(self._ports()),
            "accounts": list(self._exchange.desks),
            "symbols": len(self._exchange.market.symbols),
            "faults_struck": len(self._exchange.faults.struck),
        }

    async def truth(self, _: Request) -> Json:
        plain: Mapping[str, Json] = to_plain(self._exchange.truth())
        return plain

    async def faults(self, _: Request) -> Json:
        plan = self._exchange.faults
        return plan_plain(plan.rules, plan.seed)

    async def set_faults(self, request: Request) -> Json:
        try:
            rules, seed = parse_plan((await request.body()).decode(), where="the plan")
        except (DataError, UnicodeDecodeError) as error:
            raise _Unusable(str(error)) from None
        self._exchange.faults.set(rules, seed=seed)
        return plan_plain(rules, seed)

    async def struck(self, _: Request) -> Json:
        return [
            {
                "number": struck.number,
                "at": iso(struck.at),
                "vendor": struck.vendor,
                "place": struck.place,
                "call": struck.call,
                "rule": rule_plain(struck.rule),
            }
            for struck in self._exchange.faults.struck
        ]

    async def clock(self, _: Request) -> Json:
        exchange = self._exchange
        return {
            "now": iso(exchange.now()),
            "is_open": exchange.is_open,
            "day": exchange.market.day.day.isoformat(),
            "open_at": iso(exchange.market.day.open_at),
            "close_at": iso(exchange.market.day.close_at),
            "by_hand": exchange.clock is None,
            "halted": sorted(exchange.halted),
        }

    async def advance(self, request: Request) -> Json:
        if self._exchange.clock is not None:
            raise _Unusable("the clock runs by itself; start the sandbox with --speed hand to step it")
        asked = await _object(request)
        try:
            at = parse_iso(str(asked.get("advance_to")))
        except (ValueError, OverflowError):
            raise _Unusable(
                f"advance_to {asked.get('advance_to')!r} is not a time such as 2025-09-02T14:00:00Z"
            ) from None
        self._exchange.advance_to(at)
        return await self.clock(request)

    async def halt(self, request: Request) -> Json:
        asked = await _object(request)
        symbol, halted = asked.get("symbol"), asked.get("halted", True)
        if not isinstance(symbol, str) or not self._exchange.market.knows(symbol) or not isinstance(halted, bool):
            raise _Unusable(f"give a symbol that is traded here, not {symbol!r}, and halted as true or false")
        self._exchange.halt(symbol, halted=halted)
        return {"halted": sorted(self._exchange.halted)}


def _served(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        if not host_allowed(request):
            return answer({"error": "the Host header must name this machine: 127.0.0.1 or localhost"}, 403)
        try:
            return answer(await handler(request))
        except _Unusable as error:
            return answer({"error": str(error)}, 400)

    return serve


async def _object(request: Request) -> Mapping[str, Json]:
    try:
        found: Json = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        raise _Unusable("the body is not JSON") from None
    if not isinstance(found, Mapping):
        raise _Unusable("the body is not an object")
    return found

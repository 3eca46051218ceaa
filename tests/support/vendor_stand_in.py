"""A data vendor on a port of this machine, with answers that a test writes; made from the vendors' own documents."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

KEY = "changeme-canary-4711"
Answer = tuple[int, object]


@dataclass(frozen=True)
class Asked:
    """One request, as it came over the wire."""

    path: str
    query: dict[str, str]
    raw: str
    """The request line's address."""
    headers: dict[str, str]


@dataclass
class VendorStandIn:
    """Answers by `answer(path, query)`; a status of 0 cuts the connection. `extra` headers go with each refusal."""

    answer: Callable[[str, dict[str, str]], Answer]
    extra: dict[str, str] = field(default_factory=dict)
    open: bool = False
    """Answers to whoever asks, without a key."""
    seen: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                vendor._serve(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(request.path)
        query = dict(parse_qsl(asked.query))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Asked(asked.path, query, request.path, headers))
        given = headers.get("x-finnhub-token") or headers.get("apca-api-key-id", "")
        if self.open or given == KEY:
            status, answer = self.answer(asked.path, query)
        else:
            status, answer = 401, {"error": f"Invalid API key {given}."}
        if not status:
            request.close_connection = True
            return
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with suppress(ConnectionError):  # whoever asked may have been killed meanwhile
            request.send_response(status)
            for name, value in (self.extra if status >= 400 else {}).items():
                request.send_header(name, value)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)


def figures(market_cap: float = 5_000.0, volume: float = 2.0) -> dict[str, object]:
    """Return an answer of /stock/metric, in millions."""
    metric = {"marketCapitalization": market_cap, "3MonthAverageTradingVolume": volume}
    return {"metric": metric, "metricType": "all", "series": {}, "symbol": "X"}


def profile(sector: str = "Technology") -> dict[str, object]:
    """Return an answer of /stock/profile2."""
    return {"currency": "USD", "exchange": "NEW YORK STOCK EXCHANGE, INC.", "finnhubIndustry": sector,
            "marketCapitalization": 5_000, "name": "X", "ticker": "X"}  # fmt: skip


def asset(symbol: str, **changes: object) -> dict[str, object]:
    """Return one row of Alpaca's list of assets."""
    row = {"id": "904837e3-3b76-47ec-b432-046db621571b", "class": "us_equity", "exchange": "NASDAQ", "symbol": symbol,
           "name": symbol, "status": "active", "tradable": True, "marginable": True, "shortable": True,
           "easy_to_borrow": True, "fractionable": True}  # fmt: skip
    return row | changes


class Impatient:
    """Waiting on a clock of its own: nothing takes time, and what was waited is known."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000
        self.slept: list[int] = []

    def dice(self) -> float:
        return 0.5

    async def sleep(self, span: int) -> None:
        self.slept.append(span)
        self.now += span
        await asyncio.sleep(0)


class Free:
    """Turns without a limit; rests are counted."""

    def __init__(self) -> None:
        self.taken = 0
        self.rests: list[int] = []

    async def take(self, *, urgent: bool = False) -> None:
        self.taken += 1

    def rest(self, span: int) -> None:
        self.rests.append(span)

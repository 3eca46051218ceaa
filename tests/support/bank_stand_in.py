"""A bank on a port of this machine, with books of its own: what they say has happened, and nothing else has.

Made from the vendor notes alone; it shares no code with the client. It is strict: an unknown field, a wrong token or a
key that comes back with another order is refused.
"""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "secret-token:changeme-canary"
FIELDS = {"sourceAccountId", "destinationAccountId", "amount", "note", "idempotencyKey"}


class GoneSilentError(Exception):
    """The stand-in closes the connection without a word."""


@dataclass
class Books:
    """Balances in dollars, and each transfer as booked."""

    balances: dict[str, Decimal]
    transfers: list[dict[str, object]] = field(default_factory=list)
    by_key: dict[str, dict[str, object]] = field(default_factory=dict)

    def lines(self) -> list[tuple[str, str, str]]:
        return [
            (str(one["sourceAccountId"]), str(one["destinationAccountId"]), f"{one['amount']:.2f}")
            for one in self.transfers
        ]


class StandIn:
    """The bank at work. `script` says how the coming transfers are answered; when it is used up, as they should be.

    `lose`: booked, and the connection is cut. `drop`: cut before it is booked. `error`: HTTP 500, not booked.
    `late`: HTTP 500, and booked all the same. `hold`: booked after `release` only, the answer later still.
    """

    def __init__(self, balances: dict[str, str]) -> None:
        self.books = Books({name: Decimal(amount) for name, amount in balances.items()})
        self.script: list[str] = []
        self.reads_that_fail = 0
        self.seen: list[str] = []
        self.on_transfer = lambda: None
        self._lock = threading.Lock()
        bank = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                bank._serve(self, b"")

            def do_POST(self) -> None:
                bank._serve(self, self.rfile.read(int(self.headers["Content-Length"])))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = urlsplit(request.path)
        self.seen.append(f"{request.command} {asked.path.removeprefix('/api/v1')}")
        status: int
        answer: dict[str, object]
        try:
            if request.headers["Authorization"] != f"Bearer {TOKEN}":
                status, answer = 401, {"error": f"unknown token {request.headers['Authorization']}"}
            elif request.command == "POST":
                status, answer = self._transfer(json.loads(body, parse_float=Decimal))
            elif self.reads_that_fail:
                self.reads_that_fail -= 1
                status, answer = 503, {"error": "try again"}
            else:
                status, answer = self._read(asked.path.removeprefix("/api/v1"), parse_qs(asked.query))
        except GoneSilentError:
            request.close_connection = True
            return
        data = json.dumps(answer, default=float).encode()
        with suppress(ConnectionError):  # whoever asked may have been killed meanwhile
            request.send_response(status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)

    def _read(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
        with self._lock:
            if path == "/accounts":
                return 200, {"accounts": [self._account(name) for name in self.books.balances]}
            _, _, name, *rest = path.split("/")
            if name not in self.books.balances:
                return 404, {"error": "no such account"}
            if not rest:
                return 200, self._account(name)
            found = [self._transaction(one, name) for one in self.books.transfers if name in one.values()]
            first, count = int(query["offset"][0]), int(query["limit"][0])
            return 200, {"total": len(found), "transactions": found[first : first + count]}

    def _account(self, name: str) -> dict[str, object]:
        balance = self.books.balances[name]
        return {"id": name, "status": "active", "availableBalance": balance, "currentBalance": balance}

    def _transaction(self, one: dict[str, object], name: str) -> dict[str, object]:
        leaves = one["sourceAccountId"] == name
        amount = Decimal(str(one["amount"]))
        return {
            "id": one["id"],
            "amount": -amount if leaves else amount,
            "status": "sent",
            "note": one["note"],
            "counterpartyId": one["destinationAccountId"] if leaves else one["sourceAccountId"],
            "createdAt": one["at"],
        }

    def _transfer(self, order: dict[str, object]) -> tuple[int, dict[str, object]]:
        how = self.script.pop(0) if self.script else "answer"
        if how == "drop":
            raise GoneSilentError
        if how == "error":
            return 500, {"error": "internal"}
        with self._lock:
            status, answer = self._book(order)
        self.on_transfer()
        if how == "lose":
            raise GoneSilentError
        return (500, {"error": "internal"}) if how == "late" else (status, answer)

    def _book(self, order: dict[str, object]) -> tuple[int, dict[str, object]]:
        if set(order) != FIELDS:
            return 400, {"error": f"fields {sorted(order)}"}
        key, amount = str(order["idempotencyKey"]), Decimal(str(order["amount"]))
        source, destination = str(order["sourceAccountId"]), str(order["destinationAccountId"])
        known = self.books.by_key.get(key)
        if known is not None:
            same = all(known[name] == order[name] for name in FIELDS)
            return (200, {"id": known["id"], "status": "sent"}) if same else (400, {"error": "key used before"})
        if any(
            (one["sourceAccountId"], one["destinationAccountId"], one["amount"]) == (source, destination, amount)
            for one in self.books.transfers
        ):
            return 400, {"error": "duplicate payment within 24 hours"}
        if amount <= 0 or self.books.balances[source] < amount:
            return 400, {"error": "insufficient funds"}
        self.books.balances[source] -= amount
        self.books.balances[destination] += amount
        booked = {
            **order,
            "amount": amount,
            "id": f"txn-{len(self.books.transfers) + 1}",
            "at": datetime.now(UTC).isoformat(),
        }
        self.books.transfers.append(booked)
        self.books.by_key[key] = {**booked, "amount": order["amount"]}
        return 200, {"id": booked["id"], "status": "sent"}

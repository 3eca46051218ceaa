"""Serves `/metrics` over HTTP on this machine only, from threads of its own.

A scrape never meets the supervisor's loop: it is answered by a daemon thread, from a text that is complete before
its first byte is sent. Whoever is slow is cut off, and no more than a few are served at once.
"""

import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socket import socket
from socketserver import TCPServer, ThreadingMixIn
from typing import Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime.metrics import BotCollector, MetricSources, registry_of

ADDRESS: Final = "127.0.0.1"
PATH: Final = "/metrics"
SCRAPES_MAX: Final = 4
PATIENCE_SECONDS: Final = 5.0
_NAP_SECONDS: Final = 0.1
"""After which the listener looks whether it is to end."""
_OWN_NAMES: Final = frozenset({"127.0.0.1", "localhost", ""})
"""What a scraper calls us. A web page that has its own name resolve to this machine calls us something else."""


class MetricsError(TbotError):
    """The metrics cannot be served; nothing else depends on them."""

    code = "METRICS"


class MetricsServer(ThreadingMixIn, TCPServer):
    """One endpoint; made by `open`."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = SCRAPES_MAX

    def __init__(
        self, port: int, registry: CollectorRegistry, complain: Callable[[str], None], patience: float
    ) -> None:
        """Bind; `open` serves."""
        self._complain: Final = complain
        self.registry: Final = registry
        self.patience: Final = patience
        self._places: Final = threading.BoundedSemaphore(SCRAPES_MAX)
        self._collector: BotCollector | None = None
        super().__init__((ADDRESS, port), _Scrape)

    @classmethod
    def open(
        cls,
        port: int,
        sources: MetricSources,
        complain: Callable[[str], None],
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> Self:
        """Serve on `port` (0: any free one) until `close`; `complain` hears, from any thread, of a failed scrape.

        Raises:
            MetricsError: the port is taken or forbidden.
        """
        collector = BotCollector(sources)
        try:
            server = cls(port, registry_of(collector), complain, patience)
        except OSError as error:
            raise MetricsError(
                f"metrics cannot be served on {ADDRESS}:{port} ({error.strerror}); trading goes on without them",
                where="METRICS_PORT",
                mend="Free the port or choose another one, then start the bot again.",
            ) from error
        server._collector = collector
        threading.Thread(target=server.serve_forever, args=(_NAP_SECONDS,), name="metrics", daemon=True).start()
        return server

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Stop listening; whoever is being answered is left to its thread."""
        self.shutdown()
        self.server_close()
        if self._collector is not None:
            self._collector.close()

    def process_request(self, request: "socket | tuple[bytes, socket]", client_address: object) -> None:
        """Answer in a thread; where all places are taken, hang up."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: "socket | tuple[bytes, socket]", client_address: object) -> None:
        """Answer, then free the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, _request: "socket | tuple[bytes, socket]", _client_address: object) -> None:
        """Tell of a defect; a scraper that went away or was too slow is passed over, it will ask again."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            self._complain(f"a scrape failed: {type(error).__name__}: {error}")


class _Scrape(BaseHTTPRequestHandler):
    server: MetricsServer

    def setup(self) -> None:
        self.request.settimeout(self.server.patience)
        super().setup()

    def version_string(self) -> str:
        return "tbot"

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host.lower() not in _OWN_NAMES:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"ask 127.0.0.1 or localhost\n")
            return
        if self.path.partition("?")[0] != PATH:
            self._answer(HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}\n".encode())
            return
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, encode(self.server.registry), kind)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Keep no log of scrapes."""

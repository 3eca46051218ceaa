"""HTTP and websockets on loopback, with connections that can be cut, and the gate where faults strike calls."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from tbot_bot.config.error_handler import MachineError
from tbot_bot.sandbox.faults import FaultKind, FaultPlan, FaultRule

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK: Final = "127.0.0.1"
TRANSPORT: Final = "tbot.transport"
"""Key of a scope under which the connection's transport stands."""
_STRIKING: Final = (
    FaultKind.LATENCY,
    FaultKind.DROPPED,
    FaultKind.LOST_BEFORE,
    FaultKind.LOST_AFTER,
    FaultKind.STATUS,
    FaultKind.STATUS_AFTER,
)
_UNAVAILABLE: Final = 503
_PARTING_SECONDS: Final = 0.5
"""For calls under way when the server stops; those that a fault keeps waiting are cut."""


def answer(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response; nothing at all for 204."""
    if status == 204:  # noqa: PLR2004 - no content
        return Response(status_code=status, headers=headers)
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status_code=status, headers=headers, media_type="application/json")


def cut(scope: Scope) -> None:
    """Break the connection that `scope` came over, without a word."""
    transport = scope[TRANSPORT]
    assert isinstance(transport, asyncio.Transport)  # noqa: S101 - our own protocols put it there
    transport.abort()


def mute(scope: Scope) -> None:
    """Read nothing more from the connection; it stays open."""
    transport = scope[TRANSPORT]
    assert isinstance(transport, asyncio.Transport)  # noqa: S101 - our own protocols put it there
    transport.pause_reading()


class Gate:
    """Lets HTTP calls through to `app`, late, broken or not at all where the plan says so."""

    def __init__(self, app: App, plan: FaultPlan, vendor: str) -> None:
        """Ask `plan` for each call of `vendor`; websockets look after their own faults."""
        self._app, self._plan, self._vendor = app, plan, vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        place = f"{scope['method']} {scope['path']}"
        if self._plan.standing(self._vendor, FaultKind.MAINTENANCE):
            await _refusal(_UNAVAILABLE, "maintenance")(scope, receive, send)
            return
        rules = {rule.kind: rule for rule in self._plan.of_call(self._vendor, place, *_STRIKING)}
        if late := rules.get(FaultKind.LATENCY):
            await asyncio.sleep(max(late.seconds, 0.0))
        if FaultKind.DROPPED in rules:
            await self._silence(scope, 0.0)
        elif lost := rules.get(FaultKind.LOST_BEFORE):
            await self._silence(scope, lost.seconds)
        elif struck := rules.get(FaultKind.STATUS):
            await _refusal_by(struck)(scope, receive, send)
        elif lost := rules.get(FaultKind.LOST_AFTER):
            await self._app(scope, receive, _nowhere)
            await self._silence(scope, lost.seconds)
        elif struck := rules.get(FaultKind.STATUS_AFTER):
            await self._app(scope, receive, _nowhere)
            await _refusal_by(struck)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _silence(self, scope: Scope, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
        cut(scope)
        await asyncio.sleep(0)  # the server notices that the connection is gone


class Listener:
    """One vendor's server on a loopback port."""

    def __init__(self, app: App, port: int) -> None:
        """Bind; port 0 takes a free one.

        Raises:
            MachineError: the port is taken or not allowed.
        """
        self._socket = _bound(port)
        self.port = int(self._socket.getsockname()[1])
        self._config = uvicorn.Config(
            app,
            ws=_Websocket,
            ws_max_size=1 << 20,
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
        )
        self._state = ServerState()
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Serve until `stop` or until cancelled, then end every connection."""
        self._config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, sock=self._socket)
        try:
            await self._stopping.wait()
        finally:
            server.close()
            for connection in list(self._state.connections):
                connection.shutdown()
            calls = list(self._state.tasks)
            if calls:
                await asyncio.wait(calls, timeout=_PARTING_SECONDS)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    def stop(self) -> None:
        """Take no more connections and end those that are there."""
        self._stopping.set()

    def close(self) -> None:
        """Let the port go."""
        self._socket.close()

    def _protocol(self) -> "_Http":
        return _Http(config=self._config, server_state=self._state, app_state={})


class _Http(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = _with_transport(self.app, transport)


class _Websocket(WebSocketsSansIOProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.app = _with_transport(self.app, transport)


def _with_transport(app: App, transport: asyncio.BaseTransport) -> App:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = transport
        await app(scope, receive, send)

    return call


async def _nowhere(message: Message) -> None:
    """Take a message that nobody shall have."""


def _refusal_by(rule: FaultRule) -> Response:
    return _refusal(rule.status, "injected fault", rule.seconds)


def _refusal(status: int, words: str, retry_after: float = 0.0) -> Response:
    headers = {"Retry-After": str(max(round(retry_after), 1))} if retry_after > 0 else None
    return answer({"code": status * 100_000, "message": words}, status, headers)


def _bound(port: int) -> socket.socket:
    # asyncio spares small answers Nagle's wait only where the protocol is spelled out: 40 ms a call
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, port))
        made.listen(128)
    except OSError as error:
        made.close()
        raise MachineError(
            f"cannot listen: {error.strerror or error}", where=f"{LOOPBACK}:{port}", mend="Choose another port."
        ) from None
    made.setblocking(False)  # noqa: FBT003 - the socket's own word
    return made


def host_allowed(request: Request) -> bool:
    """Return whether the call names this machine: a page in a browser that was led here by its name does not."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    return host in {LOOPBACK, "localhost"}

"""Listens for TWS clients on this machine, and goes away on purpose: maintenance and the nightly restart."""

import asyncio
import contextlib
import ipaddress
from typing import Final

from tbot_bot.config.error_handler import LogicError
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.sandbox.tws_gateway import VENDOR, Gateway
from tbot_bot.sandbox.tws_plan import PlanFollower
from tbot_bot.sandbox.tws_session import Session

GATEWAY: Final = "gateway"
"""The place of faults that concern the whole gateway."""
_LOOK_SECONDS: Final = 0.1
"""Between two looks whether a restart or a maintenance is due."""


class TwsServer:
    """The listening socket and the sessions behind it."""

    def __init__(self, gateway: Gateway, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on `host`, which must be this machine; port 0 takes a free one.

        Raises:
            LogicError: the address can be reached from elsewhere.
        """
        if not ipaddress.ip_address(host).is_loopback:
            raise LogicError(f"the sandbox listens on this machine only, not on {host}")
        self.gateway = gateway
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._restarted: FaultRule | None = None
        self._plan = PlanFollower(gateway)

    async def start(self) -> None:
        """Begin to listen; `port` says where.

        Raises:
            OSError: the port is taken.
        """
        await self._listen()
        self._watch = asyncio.create_task(self._follow_plan())

    async def close(self) -> None:
        """End every connection and the listening."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # by the line above
                await self._watch
        await self._leave()
        self.gateway.close()

    async def restart(self, seconds: float) -> None:
        """Cut every connection and take none for `seconds`: what the vendor's gateway does every night."""
        await self._leave()
        await asyncio.sleep(seconds)
        await self._listen()

    def cut_all(self) -> None:
        """Cut every connection; new ones are taken at once."""
        for session in tuple(self._sessions):
            session.cut()

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _leave(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut_all()
        if self._sessions:
            await asyncio.wait(self._sessions.values())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self.gateway, reader, writer)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._sessions[session] = task
        try:
            await session.run()
        finally:
            del self._sessions[session]

    async def _follow_plan(self) -> None:
        """Restart, go away for maintenance, lose the line and the data farms when the plan of faults says so."""
        faults = self.gateway.faults
        while True:
            self._plan.look()
            rule = faults.standing(VENDOR, FaultKind.RESTART)
            if rule is not None and rule is not self._restarted:
                self._restarted = rule
                for struck in faults.of_call(VENDOR, GATEWAY, FaultKind.RESTART):
                    await self.restart(struck.seconds)
            elif rule is None:
                self._restarted = None
            closed = faults.standing(VENDOR, FaultKind.MAINTENANCE) is not None
            if closed and self._server is not None:
                await self._leave()
            elif not closed and self._server is None:
                await self._listen()
            await asyncio.sleep(_LOOK_SECONDS)

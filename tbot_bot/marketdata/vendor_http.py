"""Reading a data vendor's interface: in turn, within a deadline, again where that may help, keys in headers only.

A key stands in no address, so that no error, log or proxy can quote it. An endpoint that fails again and again is left
alone for a while (`core.circuit`).

    2xx                 the value; what cannot be read is `VendorNotUnderstood`
    401                 `VendorKeysRefused`
    429                 everybody who asks this vendor rests, then it is asked again
    408, 425, 5xx, 3xx  `VendorUnavailable`, after retries
    any other           `VendorRefused`, with the vendor's words
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

import httpx2

from tbot_bot.config.error_handler import MASK, TbotError
from tbot_bot.config.vendor_errors import VendorKeysRefused, VendorNotUnderstood, VendorRefused, VendorUnavailable
from tbot_bot.core.backoff import Patience, Waiting, pause_after
from tbot_bot.core.circuit import CircuitReading, Circuits
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.instants import SECOND, Duration, seconds
from tbot_bot.core.token_bucket import Turns

_ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
_TEXT_MAX: Final = 200
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_AGAIN: Final = frozenset({408, 425, 429})
_OK: Final = range(200, 300)
_NO: Final = range(400, 500)
_FAMILY_PARTS: Final = 4
"""Of a path, cut at its slashes, that name the endpoint; what follows names a symbol."""
_REST: Final = (seconds(2), seconds(61))
"""Least and most that a vendor is left alone after a 429; without `Retry-After` its minute is waited out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Who is asked, and by which key."""

    name: str
    url: str
    headers: Mapping[str, str]
    """With the key."""
    mend: str
    """What to look at where the key is refused."""

    def __repr__(self) -> str:
        """Return name and address; never a key."""
        return f"Vendor({self.name!r}, {self.url!r})"


class VendorHttp:
    """One vendor; requests from any task of one event loop. Raises what the module says."""

    def __init__(self, vendor: Vendor, turns: Turns, patience: Patience, waiting: Waiting) -> None:
        """`patience.deadline` holds for each attempt, from the connection to the last byte."""
        self._vendor, self._turns, self._patience, self._waiting = vendor, turns, patience, waiting
        # No proxy and no password of the surroundings: the key goes to the address that was configured.
        self._client = httpx2.AsyncClient(
            timeout=patience.deadline / SECOND, trust_env=False, follow_redirects=False, headers=dict(vendor.headers)
        )
        self._circuits = Circuits(lambda: asyncio.get_running_loop().time())
        self.asked = 0
        """Requests made so far, repeated ones included."""

    async def __aenter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    def circuits(self) -> tuple[CircuitReading, ...]:
        """Return how each endpoint is that was ever asked."""
        return tuple(
            replace(one, endpoint=f"{self._vendor.name} GET {one.endpoint}") for one in self._circuits.readings()
        )

    async def get(self, path: str, query: Mapping[str, str]) -> object:
        """Return the JSON at `path`, its numbers as Decimals and ints."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._parsed(await self._admitted(path, query), path)
            except VendorUnavailable as error:
                if attempt > self._patience.retries:
                    raise
                pause = pause_after(self._patience, attempt, self._waiting.dice)
                pause = Duration(max(pause, error.retry_after or 0))
            await self._waiting.sleep(pause)

    async def _admitted(self, path: str, query: Mapping[str, str]) -> bytes:
        """Ask, unless the endpoint's circuit is open; a vendor that is busy (429) has answered."""
        family = "/".join(path.split("/")[:_FAMILY_PARTS])
        try:
            self._circuits.admit(family)
        except BrokerUnavailable as closed:
            told = VendorUnavailable(str(closed), where=self._where(path))
            told.retry_after = closed.retry_after
            raise told from None
        await self._turns.take()
        try:
            body = await self._once(path, query)
        except TbotError as error:
            if isinstance(error, VendorUnavailable) and error.retry_after is None:
                self._circuits.failed(family, str(error))
            else:
                self._circuits.answered(family)
            raise
        self._circuits.answered(family)
        return body

    async def _once(self, path: str, query: Mapping[str, str]) -> bytes:
        self.asked += 1
        span = self._patience.deadline / SECOND
        try:
            async with (
                asyncio.timeout(span),
                self._client.stream("GET", f"{self._vendor.url.rstrip('/')}{path}", params=dict(query)) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise VendorNotUnderstood("the answer is far too long", where=self._where(path))
                status, asked = response.status_code, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise VendorUnavailable(f"no answer within {span:g} s", where=self._where(path)) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:  # its text may hold headers; its name tells enough
            raise VendorUnavailable(f"no answer ({type(error).__name__})", where=self._where(path)) from None
        if status not in _OK:
            raise self._refusal(status, bytes(body), asked, path)
        return bytes(body)

    def _refusal(self, status: int, body: bytes, asked: str, path: str) -> TbotError:
        told = body.decode("utf-8", "replace")
        for value in self._vendor.headers.values():
            told = told.replace(value, MASK) if value else told
        told = " ".join(told.split())[:_TEXT_MAX]
        what = f"HTTP {status}{f': {told}' if told else ''}"
        if status == _UNAUTHORIZED:
            return VendorKeysRefused(f"the key is refused: {what}", where=self._where(path), mend=self._vendor.mend)
        if status in _AGAIN or status not in _NO:
            error = VendorUnavailable(what, where=self._where(path))
            if status == _TOO_MANY:
                least, most = _REST
                rest = seconds(int(asked)) if asked.strip().isdecimal() else most
                error.retry_after = Duration(min(max(rest, least), most))
                self._turns.rest(error.retry_after)
            return error
        return VendorRefused(what, where=self._where(path))

    def _parsed(self, body: bytes, path: str) -> object:
        try:
            found: object = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise VendorNotUnderstood("an answer that is no JSON", where=self._where(path)) from None
        return found

    def _where(self, path: str) -> str:
        return f"{self._vendor.name} GET {path}"


def _refuse_constant(text: str) -> object:
    raise ValueError(text)


__all__ = ["Vendor", "VendorHttp"]

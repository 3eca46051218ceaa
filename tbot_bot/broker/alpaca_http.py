"""Alpaca's REST interfaces through alpaca-py's plumbing, without what it does on its own.

alpaca-py makes the addresses and the headers. Its own way to make a request is put aside: it repeats POST after
429 and 504, waits for ever, and reads numbers through floats. Here a request is made once, within a deadline that
covers everything from the connection to the last byte, and the answer is handed on as bytes.

alpaca-py blocks, so requests are made in threads: some for orders, others for everything else, so that slow reads
keep no order waiting. The library is imported when the first client is built.
"""

import asyncio
import errno
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.instants import Duration, seconds

if TYPE_CHECKING:
    import requests

_BODY_BYTES_MAX: Final = 64 * 1024 * 1024
_WORD: Final = re.compile("[a-z_:]+")
_CHUNK_BYTES: Final = 64 * 1024
_ORDER_THREADS: Final = 4
_READ_THREADS: Final = 3
_SLACK_SECONDS: Final = 0.5
"""What a thread is given beyond its deadline to say so itself."""
_HOLD_SECONDS: Final = (1.0, 60.0)
"""Least and most that data traffic rests after a 429."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever it means."""

    status: int
    body: bytes
    retry_after: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    path: str
    """Below the version, such as `/orders`."""
    data: Mapping[str, str] | None = None
    """The query of GET and DELETE, the JSON body of POST and PATCH."""
    version: str = "v2"
    urgent: bool = False
    """About an order: it goes before data, by threads of its own."""

    @property
    def name(self) -> str:
        """Return the request in words: ids and symbols are stars, so that it names an endpoint."""
        parts = (part if _WORD.fullmatch(part) else "*" for part in self.path.strip("/").split("/"))
        return f"{self.method} /{self.version}/{'/'.join(parts)}"


class AlpacaHttp:
    """One address and credential; requests from any task of one event loop."""

    def __init__(
        self, url: str, key: str, secret: str, *, deadline_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        """`url` has no version in it; nothing is opened before the first request."""
        self._url, self._key, self._secret = url.rstrip("/"), key, secret
        self._deadline, self._monotonic = deadline_seconds, monotonic
        self._clients = threading.local()
        self._orders = ThreadPoolExecutor(_ORDER_THREADS, thread_name_prefix="alpaca-orders")
        self._reads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="alpaca-reads")

    def __repr__(self) -> str:
        """Return the address; never a key."""
        return f"AlpacaHttp({self._url!r})"

    async def ask(self, call: Call) -> Answer:
        """Make the request, once, and return what came back.

        Raises:
            BrokerUnavailable: nothing came back in time; whatever was asked may have been done.
        """
        pool = self._orders if call.urgent else self._reads
        end = self._monotonic() + self._deadline
        made = asyncio.get_running_loop().run_in_executor(pool, self._made, call, end)
        try:
            async with asyncio.timeout(self._deadline + _SLACK_SECONDS):  # `wait_for` may lose a cancel (to 3.11)
                return await made
        except TimeoutError:
            raise BrokerUnavailable(f"{call.name}: no answer within {self._deadline:g} s") from None

    def close(self) -> None:
        """Let go of the threads; one that still waits ends by its deadline."""
        self._orders.shutdown(wait=False, cancel_futures=True)
        self._reads.shutdown(wait=False, cancel_futures=True)

    def _made(self, call: Call, end: float) -> Answer:
        """Make the request in this thread, unless its time is over: whoever asked has given up, and may look it up."""
        import requests  # noqa: PLC0415 - comes with alpaca-py, as urllib3 does with it
        import urllib3  # noqa: PLC0415

        client = self._client()
        data = None if call.data is None else dict(call.data)
        try:
            return client.once(call.method, call.path, data, version=call.version, end=end)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # its text may hold headers; its name tells enough
            raise BrokerUnavailable(f"{call.name}: no answer ({type(error).__name__})") from None

    def _client(self) -> "_Client":
        """Return this thread's client: sessions are not made for several."""
        found: _Client | None = getattr(self._clients, "client", None)
        if found is None:
            found = self._clients.client = _client(self._url, self._key, self._secret, self._monotonic)
        return found


class _Client(Protocol):
    def once(self, method: str, path: str, data: dict[str, str] | None, *, version: str, end: float) -> Answer:
        """Make one request that ends by `end`."""
        ...


def _client(url: str, key: str, secret: str, monotonic: Callable[[], float]) -> _Client:
    """Return alpaca-py's client with one request of our own in the place of its loop of retries."""
    from alpaca.common.rest import RESTClient
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class OnceClient(RESTClient):
        def __init__(self) -> None:
            super().__init__(base_url=url, api_key=key, secret_key=secret, raw_data=True)
            self._retry = 0
            self._session.trust_env = False  # no proxy, no password file: keys go to the address that was configured
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=0, pool_maxsize=1))
            self._end = 0.0

        def once(self, method: str, path: str, data: dict[str, str] | None, *, version: str, end: float) -> Answer:
            self._end = end
            answer = self._request(method, path, data, api_version=version)
            if not isinstance(answer, Answer):
                raise BrokerUnavailable(f"{method}: alpaca-py answered by itself")
            return answer

        def _one_request(  # type: ignore[override]  # no dict, but alpaca-py only passes it on
            self, method: str, url: str, opts: dict[str, object], retry: int
        ) -> Answer:
            """Make the request once; no status is an exception, so nothing above here repeats it."""
            del retry
            left = self._end - monotonic()
            if left <= 0:
                raise TimeoutError
            with self._session.request(method, url, timeout=left, stream=True, **opts) as response:  # type: ignore[arg-type]
                body = _read(response, self._end, monotonic)
                return Answer(status=response.status_code, body=body, retry_after=_rest(response.headers))

    return OnceClient()


def _read(response: "requests.Response", end: float, monotonic: Callable[[], float]) -> bytes:
    """Return the body, read as it comes: a server that sends a byte now and then ends at the deadline, too."""
    body = b""
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if monotonic() > end:
            raise TimeoutError
        if len(body) > _BODY_BYTES_MAX:
            raise OSError(errno.EMSGSIZE, "the answer is far too long")
    return body


def _rest(headers: Mapping[str, str]) -> Duration | None:
    """Return when to come again: as asked, else when the allowance is renewed, by the server's own clock."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return seconds(int(asked))
    renewed, now = headers.get("X-RateLimit-Reset", ""), headers.get("Date", "")
    if headers.get("X-RateLimit-Remaining", "") != "0" or not renewed.isdecimal():
        return None
    try:
        left = int(renewed) - parsedate_to_datetime(now).timestamp()
    except ValueError:
        return None
    least, most = _HOLD_SECONDS
    return seconds(min(max(left, least), most))


def hold_seconds(answer: Answer) -> float:
    """Return how long data traffic rests after `answer`, 0 where it need not."""
    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return 0.0
    least, most = _HOLD_SECONDS
    asked = least if answer.retry_after is None else answer.retry_after / seconds(1)
    return min(max(asked, least), most)


__all__ = ["AlpacaHttp", "Answer", "Call", "hold_seconds"]

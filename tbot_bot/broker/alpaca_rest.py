"""What Alpaca's answers mean: a value, a clear no, or nothing known. Allowance and circuits stand before each request.

    2xx                        the value; what cannot be read is an unknown outcome
    401                        CredentialsRejected
    404 with Alpaca's message  NotThere, a definite "not there"
    408, 409, 425, 429, 5xx    BrokerUnavailable: nothing is known
    3xx, other 404             BrokerUnavailable: whoever answers is not Alpaca's interface
    other 4xx                  BrokerRefused, with Alpaca's words

Nothing is repeated here. Reads are repeated by whoever asks, with `retry_after` in mind; orders are looked up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tbot_bot.broker.alpaca_http import AlpacaHttp, Answer, Call, hold_seconds
from tbot_bot.broker.json_fields import fields, parsed, words
from tbot_bot.core.circuit import Circuit, CircuitReading
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable, CredentialsRejected, UnknownMessage
from tbot_bot.core.instants import seconds
from tbot_bot.core.token_bucket import Turns

_WORDS_MAX: Final = 300
_UNCERTAIN: Final = frozenset({408, 409, 425, 429})
_OK: Final = range(200, 300)
_NO: Final = range(400, 500)
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404


class NotThere(BrokerRefused):
    """Alpaca does not know what was asked for."""


class NotAsked(BrokerUnavailable):
    """The circuit is open: nothing was sent."""


@dataclass(slots=True, kw_only=True)
class AlpacaRest:
    """One address with its circuits; all addresses of one credential share their turns."""

    http: AlpacaHttp
    turns: Turns
    monotonic: Callable[[], float]
    circuits: dict[str, Circuit] = field(default_factory=dict)

    async def greet(self) -> object:
        """Return the account; the one request that tells refused keys from other troubles.

        Raises:
            CredentialsRejected: Alpaca does not know these keys, or not here.
        """
        return await self._ask(Call(method="GET", path="/account"))

    async def read(self, path: str, query: Mapping[str, str] | None = None, *, version: str = "v2") -> object:
        """Return what `path` says; data traffic, which waits for orders."""
        return await self._known(Call(method="GET", path=path, data=query, version=version))

    async def look(self, path: str, query: Mapping[str, str] | None = None) -> object:
        """Return what `path` says about our orders: as urgent as an order, and asked also while the circuit is open."""
        return await self._known(Call(method="GET", path=path, data=query, urgent=True))

    async def order(self, method: str, path: str, body: Mapping[str, str] | None = None, *, opens: bool) -> object:
        """Send an order, a change or a cancel, once; only what opens a position is held back by an open circuit.

        Raises:
            BrokerRefused: it was not taken: refused, held back, or sent with keys that are valid no longer.
        """
        try:
            return await self._ask(Call(method=method, path=path, data=body, urgent=True), insist=not opens)
        except (NotAsked, CredentialsRejected) as problem:
            raise BrokerRefused(str(problem)) from None

    async def _known(self, call: Call) -> object:
        try:
            return await self._ask(call)
        except CredentialsRejected as problem:  # they were good when we connected
            raise BrokerUnavailable(str(problem)) from None

    def readings(self) -> tuple[CircuitReading, ...]:
        """Return how each endpoint is that was ever asked."""
        now = self.monotonic()
        return tuple(circuit.reading(now) for circuit in self.circuits.values())

    def close(self) -> None:
        """Let go of the threads."""
        self.http.close()

    async def _ask(self, call: Call, *, insist: bool | None = None) -> object:
        circuit = self.circuits.setdefault(call.name, Circuit(call.name))
        wait = circuit.wait(self.monotonic())
        if wait and not (call.urgent if insist is None else insist):
            reading = circuit.reading(self.monotonic())
            told = f"{call.name}: not asked for {wait:.0f} s after {reading.failures} failures: {reading.problem}"
            raise NotAsked(told, retry_after=seconds(wait))
        await self.turns.take(urgent=call.urgent)
        try:
            answer = await self.http.ask(call)
            if hold := hold_seconds(answer):
                self.turns.rest(seconds(hold))
            value = _meaning(call, answer)
        except BrokerUnavailable as problem:
            circuit.failed(self.monotonic(), str(problem))
            raise
        except (BrokerRefused, CredentialsRejected):
            circuit.succeeded()
            raise
        circuit.succeeded()
        return value


def _meaning(call: Call, answer: Answer) -> object:
    """Return the value of an answer, or raise what it means."""
    status = answer.status
    if status in _OK:
        if not answer.body.strip():
            return None
        try:
            return parsed(answer.body)
        except UnknownMessage as problem:
            raise BrokerUnavailable(f"{call.name}: {problem}") from None
    told, is_theirs = _words(answer)
    what = f"{call.name}: HTTP {status}{told and f': {told}'}"
    if status == _UNAUTHORIZED or (status == _FORBIDDEN and told.rstrip(".") == "forbidden"):
        mend = "Look at the ALPACA_*_API_KEY, ALPACA_*_SECRET_KEY and ALPACA_*_URL in .env."
        raise CredentialsRejected(f"Alpaca refuses the keys: {what.rstrip('.')}. {mend}")
    if status == _NOT_FOUND and is_theirs:
        raise NotThere(what)
    if status in _NO and status != _NOT_FOUND and status not in _UNCERTAIN:
        raise BrokerRefused(what)
    raise BrokerUnavailable(what, retry_after=answer.retry_after)


def _words(answer: Answer) -> tuple[str, bool]:
    """Return what a refusal says, and whether it has the form in which Alpaca speaks."""
    try:
        told = words(fields(parsed(answer.body), "refusal"), "message")
    except UnknownMessage:
        return "", False
    return " ".join(told.split())[:_WORDS_MAX], bool(told)


__all__ = ["AlpacaRest", "NotAsked", "NotThere"]

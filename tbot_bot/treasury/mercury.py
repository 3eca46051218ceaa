"""Mercury's interface, as far as moving money between the firm's own accounts needs it.

Imported only by who really talks to the bank. The token goes into one header and nowhere else. Reads are tried
again with growing, jittered pauses; a transfer is sent once, and where its answer is lost nothing is known of it.
Forms: the vendor's reference index, and for `/transfer` two independent public clients; both spellings of its
account fields are about, so they stand in one place.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

import httpx2
import stamina
import stamina.instrumentation

from tbot_bot.config.error_handler import MASK, TbotError
from tbot_bot.core.bank import BankAccount, BankTransaction, TransferOrder
from tbot_bot.core.instants import Instant, instant
from tbot_bot.core.money import exact, plain
from tbot_bot.treasury.bank_errors import (
    BankNotUnderstood,
    BankRefused,
    BankUnavailable,
    TokenRefused,
    TransferRefused,
)

WHERE: Final = "Mercury"
_PAGE: Final = 500
_PAGES_MAX: Final = 40
_ANSWER_BYTES_MAX: Final = 8_000_000
_TEXT_MAX: Final = 200
_UNAUTHORIZED: Final = frozenset({401, 403})
_UNCERTAIN: Final = frozenset({408, 409, 425, 429})
"""Refusals that do not tell whether an earlier try got through; as uncertain as those from 500 on."""
_BAD_REQUEST: Final = 400
_SERVER_ERRORS: Final = 500
_FAILED: Final = frozenset({"failed", "cancelled", "blocked", "reversed"})


class TransferField:
    """The names of a transfer's fields at the bank."""

    SOURCE: Final = "sourceAccountId"
    DESTINATION: Final = "destinationAccountId"
    AMOUNT: Final = "amount"
    NOTE: Final = "note"
    KEY: Final = "idempotencyKey"


class Mercury:
    """One connection to the bank; its methods are those of `core.bank.Bank`."""

    def __init__(
        self, url: str, token: str, *, deadline_seconds: float, tries: int, pause_seconds: float = 0.5
    ) -> None:
        """`deadline_seconds` holds for each single request, from the connection to the last byte."""
        self._url, self._token = url.rstrip("/"), token
        self._deadline_seconds, self._tries, self._pause_seconds = deadline_seconds, tries, pause_seconds
        # No proxy and no password of the surroundings: the token goes to the address that was configured.
        self._client = httpx2.AsyncClient(timeout=deadline_seconds, trust_env=False, follow_redirects=False)
        stamina.instrumentation.set_on_retry_hooks([])  # they would print what is none of a pipe's business

    def __repr__(self) -> str:
        """Return the address; never the token."""
        return f"Mercury({self._url!r})"

    async def __aenter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def accounts(self) -> tuple[BankAccount, ...]:
        """Return all own accounts."""
        return tuple(_account(one) for one in _items(await self._get("/accounts", {}), "accounts"))

    async def account(self, account_id: str) -> BankAccount:
        """Return one own account as it is now."""
        return _account(_fields(await self._get(f"/account/{account_id}", {})))

    async def transactions(self, account_id: str, since: date) -> tuple[BankTransaction, ...]:
        """Return what was booked in the account from the day `since` on."""
        found: list[BankTransaction] = []
        for page in range(_PAGES_MAX):
            asked = {"limit": str(_PAGE), "offset": str(page * _PAGE), "start": since.isoformat()}
            items = _items(await self._get(f"/account/{account_id}/transactions", asked), "transactions")
            found.extend(_transaction(one) for one in items)
            if len(items) < _PAGE:
                return tuple(found)
        raise BankNotUnderstood(f"more than {_PAGE * _PAGES_MAX} transactions since {since.isoformat()}", where=WHERE)

    async def transfer(self, order: TransferOrder) -> str:
        """Send `order` once, and return the bank's id of it (empty where it told none).

        Raises:
            BankUnavailable: nobody knows whether it was done; look it up before anything else.
            TransferRefused, TokenRefused, BankRefused: it was not done.
        """
        words = {
            TransferField.SOURCE: order.source_account,
            TransferField.DESTINATION: order.destination_account,
            TransferField.NOTE: order.note,
            TransferField.KEY: order.idempotency_key,
        }
        body = json.dumps(words)
        # a number, but never through binary: the digits are written as they are
        content = f'{body[:-1]}, "{TransferField.AMOUNT}": {plain(order.amount)}}}'
        answer = _fields(_parsed(await self._ask("POST", "/transfer", {}, content.encode())))
        return str(answer.get("id") or "")

    async def _get(self, path: str, query: Mapping[str, str]) -> object:
        async for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, TbotError) and error.retryable,
            attempts=self._tries,
            timeout=None,
            wait_initial=self._pause_seconds,
            wait_max=self._pause_seconds * 8,
            wait_jitter=self._pause_seconds,
        ):
            with attempt:
                return _parsed(await self._ask("GET", path, query, b""))
        raise BankUnavailable("nothing was asked", where=WHERE)  # unreachable: there is always one attempt

    async def _ask(self, method: str, path: str, query: Mapping[str, str], content: bytes) -> bytes:
        """Make one request within the deadline and return the answer's body."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if content:
            headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(self._deadline_seconds),
                self._stream(method, path, query, headers, content) as response,
            ):
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise BankNotUnderstood("the answer is far too long", where=f"{WHERE} {method} {path}")
                status = response.status_code
        except TimeoutError:
            what = f"no answer within {self._deadline_seconds:g} s"
            raise BankUnavailable(what, where=f"{WHERE} {method} {path}") from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:  # its text may hold headers; its name tells enough
            what = f"no answer ({type(error).__name__})"
            raise BankUnavailable(what, where=f"{WHERE} {method} {path}") from None
        if not 200 <= status < 300:  # noqa: PLR2004 - the success codes of HTTP
            raise self._refusal(status, body, f"{WHERE} {method} {path}")
        return body

    def _stream(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], content: bytes
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        return self._client.stream(
            method, f"{self._url}{path}", params=dict(query) or None, headers=dict(headers), content=content or None
        )

    def _refusal(self, status: int, body: bytes, where: str) -> TbotError:
        told = " ".join(body.decode("utf-8", "replace").replace(self._token or "\0", MASK).split())[:_TEXT_MAX]
        what = f"HTTP {status}{f': {told}' if told else ''}"
        if status in _UNAUTHORIZED:
            mend = "Look at MERCURY_API_TOKEN, at what it may do, and whether the bank lists this machine's address."
            return TokenRefused(what, where=where, mend=mend)
        if status == _BAD_REQUEST:
            return TransferRefused(what, where=where)
        if status in _UNCERTAIN or status >= _SERVER_ERRORS or status < _BAD_REQUEST:
            return BankUnavailable(what, where=where)
        return BankRefused(what, where=where)


def _parsed(body: bytes) -> object:
    try:
        found: object = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise BankNotUnderstood("an answer that is no JSON", where=WHERE) from None
    return found


def _fields(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BankNotUnderstood("an answer of another form than expected", where=WHERE)
    return value


def _items(value: object, name: str) -> list[Mapping[str, object]]:
    found = _fields(value).get(name)
    if not isinstance(found, list):
        raise BankNotUnderstood(f"an answer without {name}", where=WHERE)
    return [_fields(one) for one in found]


def _dollars(value: object) -> Decimal:
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            return exact(value)
        except ValueError:
            pass  # raised below, as for any other value
    raise BankNotUnderstood("an amount that is no number", where=WHERE)


def _account(fields: Mapping[str, object]) -> BankAccount:
    return BankAccount(
        account_id=str(fields.get("id", "")),
        available=_dollars(fields.get("availableBalance")),
        active=fields.get("status", "active") == "active",
    )


def _transaction(fields: Mapping[str, object]) -> BankTransaction:
    notes = (fields.get(name) for name in ("note", "externalMemo", "bankDescription"))
    return BankTransaction(
        transaction_id=str(fields.get("id", "")),
        amount=_dollars(fields.get("amount")),
        failed=fields.get("status") in _FAILED,
        note="\n".join(str(note) for note in notes if note),
        counterparty_id=str(fields.get("counterpartyId") or ""),
        created_at=_moment(fields.get("createdAt")),
    )


def _moment(value: object) -> Instant | None:
    try:
        return instant(datetime.fromisoformat(str(value)))
    except ValueError:  # descriptive only: an odd form costs nothing
        return None


__all__ = ["Mercury", "TransferField"]

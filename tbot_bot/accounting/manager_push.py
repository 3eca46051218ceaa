"""Posting the ledger's documents to a Manager.io business, each of them once.

What is there already is known by its reference, which each document has for ever. A request that only reads is
repeated; a post is not, unless it is certain that it was not done. Where the answer to a post is lost, the reference is
looked up. Whoever is killed in the middle begins again: what got through is found by its reference.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx2

from tbot_bot.accounting.manager_documents import Document, Tab
from tbot_bot.accounting.manager_exporter import API
from tbot_bot.config.error_handler import MASK, TbotError

KEY_HEADER: Final = "X-API-KEY"
_PAGE: Final = 200
_PAGES_MAX: Final = 10_000
_ANSWER_BYTES_MAX: Final = 16_000_000
_TEXT_MAX: Final = 200
_UNAUTHORIZED: Final = frozenset({401, 403})
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500
_AGAIN: Final = "Run `tbot ledger push` again: it looks first which documents are there."


class PushFailed(TbotError):
    """The business could not be asked, or has not taken a document. What was posted before stays."""

    code = "LEDGER_PUSH"


class Unanswered(PushFailed):
    """No answer, or one that does not tell whether the request was carried out."""

    code = "LEDGER_PUSH_UNANSWERED"
    retryable = True


class NotTaken(PushFailed):
    """It is certain that the request was not carried out, and that it may be later."""

    code = "LEDGER_PUSH_NOT_TAKEN"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push has done."""

    posted: int
    there_before: int


class ManagerClient:
    """The interface of one business."""

    def __init__(self, url: str, key: str, *, deadline_seconds: float, tries: int, pause_seconds: float = 0.5) -> None:
        """`url` with or without its `/api2`; `deadline_seconds` is real time for each step of a request."""
        self._url = f"{url.rstrip('/').removesuffix(API)}{API}"
        self._key, self._tries, self._pause_seconds = key, max(1, tries), pause_seconds
        # No proxy and no password of the surroundings: the key goes to the address that was configured.
        self._client = httpx2.Client(timeout=deadline_seconds, trust_env=False, follow_redirects=False)

    def __repr__(self) -> str:
        """Return the address; never the key."""
        return f"ManagerClient({self._url!r})"

    def __enter__(self) -> Self:
        """Return itself; the end of the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def references(self, tab: Tab) -> set[str]:
        """Return the references of every document of a tab.

        Raises:
            PushFailed: they cannot be had, or not understood: then nothing may be posted.
        """
        found: set[str] = set()
        skip = 0
        for _ in range(_PAGES_MAX):
            query = {"skip": str(skip), "pageSize": str(_PAGE), "fields": "Reference"}
            rows, total = _rows(self._read(f"/{tab}", query), str(tab))
            told = {_reference(row) for row in rows} - {""}
            if rows and not told and not found and skip == 0 and len(rows) == total:
                what = f"{total} {tab} are there and none tells its reference: what is there already cannot be known"
                raise PushFailed(what, where=self._url, mend="Nothing was posted. Look at the version of Manager.")
            found |= told
            skip += len(rows)
            if not rows or skip >= total:
                return found
        raise PushFailed(f"the list of {tab} does not end", where=self._url)

    def post(self, document: Document, body: str) -> None:
        """Make one document.

        Raises:
            PushFailed: it was not made, or nobody knows.
        """
        for attempt in range(self._tries):
            try:
                self._ask("POST", f"/{document.tab.form}", {}, body.encode())
            except NotTaken:
                if attempt + 1 == self._tries:
                    raise
                self._wait(attempt)
            except Unanswered as error:
                if document.reference in self.references(document.tab):
                    return  # it was made, and only the answer was lost
                what = f"{document.tab} {document.reference}: {error.what}"
                raise Unanswered(what, where=self._url, mend=_AGAIN) from error
            else:
                return

    def _read(self, path: str, query: Mapping[str, str]) -> object:
        for attempt in range(self._tries):
            try:
                return json.loads(self._ask("GET", path, query, b""))
            except (Unanswered, NotTaken):
                if attempt + 1 == self._tries:
                    raise
                self._wait(attempt)
            except (ValueError, RecursionError):
                mend = "Look whether MANAGER_URL is the interface of Manager."
                raise PushFailed("an answer that is no JSON", where=f"{self._url}{path}", mend=mend) from None
        raise AssertionError("there is always one attempt")

    def _wait(self, attempt: int) -> None:
        threading.Event().wait(self._pause_seconds * 2**attempt)

    def _ask(self, method: str, path: str, query: Mapping[str, str], content: bytes) -> bytes:
        where = f"{self._url}{path}"
        headers = {KEY_HEADER: self._key, "Accept": "application/json"}
        if content:
            headers["Content-Type"] = "application/json"
        try:
            with self._client.stream(
                method, where, params=dict(query) or None, headers=headers, content=content or None
            ) as response:
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise PushFailed("the answer is far too long", where=where)
                status = response.status_code
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            what = f"nobody listens there ({type(error).__name__})"
            mend = "Start Manager; its desktop version has another port after each start: see MANAGER_URL."
            raise NotTaken(what, where=where, mend=mend) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:  # its text may hold headers; its name tells enough
            raise Unanswered(f"no answer ({type(error).__name__})", where=where, mend=_AGAIN) from None
        if not 200 <= status < 300:  # noqa: PLR2004 - the success codes of HTTP
            raise self._refusal(status, body, where)
        return body

    def _refusal(self, status: int, body: bytes, where: str) -> PushFailed:
        told = " ".join(body.decode("utf-8", "replace").replace(self._key or "\0", MASK).split())[:_TEXT_MAX]
        what = f"HTTP {status}{f': {told}' if told else ''}"
        if status in _UNAUTHORIZED:
            mend = "Look at MANAGER_API_KEY: in Manager, Settings, Access Tokens."
            return PushFailed(f"the key was refused ({what})", where=where, mend=mend)
        if status == _TOO_MANY:
            return NotTaken(what, where=where, mend=_AGAIN)
        if status >= _SERVER_ERRORS:
            mend = f"Manager answers so to a wrong account as well: look at the mapping's GUIDs. {_AGAIN}"
            return Unanswered(what, where=where, mend=mend)
        return PushFailed(what, where=where, mend=_AGAIN)


def push(
    client: ManagerClient, found: Iterable[tuple[Document, str]], reach: Callable[[int], None] = lambda _: None
) -> Pushed:
    """Post every document that is not there yet, in order; `reach` is told how many are dealt with.

    Raises:
        PushFailed: the first that could not be posted, and nothing after it.
    """
    there: dict[Tab, set[str]] = {tab: client.references(tab) for tab in Tab}
    posted = before = 0
    for document, body in found:
        if document.reference in there[document.tab]:
            before += 1
        else:
            client.post(document, body)
            there[document.tab].add(document.reference)
            posted += 1
        reach(posted + before)
    return Pushed(posted=posted, there_before=before)


def _rows(answer: object, name: str) -> tuple[list[Mapping[str, object]], int]:
    """Return the rows of a page and how many there are in all; the envelope's list has a name of its own."""
    if isinstance(answer, dict):
        lists = [value for value in answer.values() if isinstance(value, list)]
        total = answer.get("totalRecords")
        if len(lists) == 1 and isinstance(total, int) and all(isinstance(row, dict) for row in lists[0]):
            return lists[0], total
    raise PushFailed(f"the list of {name} has another form than expected", mend="Nothing was posted.")


def _reference(row: Mapping[str, object]) -> str:
    return next((str(value or "") for name, value in row.items() if name.casefold() == "reference"), "")


__all__ = ["KEY_HEADER", "ManagerClient", "NotTaken", "PushFailed", "Pushed", "Unanswered", "push"]

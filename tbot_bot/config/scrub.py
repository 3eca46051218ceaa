"""Removes secrets from whatever is written down: by name, by value, and by the look of them.

Every process that reads the settings learns their secrets (`learn`, called by the loader), and from then on the
journal, the logs and stderr mask them in every form in which a library may quote them: as they are, percent-encoded,
in base64 (a login header), in hexadecimal, escaped, or cut short. What is no secret of ours is known by its look:
bearer tokens, logins in URLs, `token=...`, bot and webhook addresses.

A value of less than `LENGTH_MIN` characters cannot be hidden without destroying the texts, and is not.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from tbot_bot.config.error_handler import MASK
from tbot_bot.core.codec import Json

LENGTH_MIN: Final = 4
_WORD_BELOW: Final = 8
"""Shorter ones count only as a word of their own."""
_PART: Final = 8
"""Characters at the beginning or end of a long secret that give it away when a text was cut."""
_PARTED_FROM: Final = 16
_DEPTH_MAX: Final = 20
_NUMBER: Final = re.compile(r"[-+0-9.eE]+")

SECRET_NAME: Final = re.compile(
    r"secret|passw|token|api_?key|key_?id|private|credential|authorization|cookie|encryption_?key|dsn|webhook"
    r"|account_?(?:number|id)",
    re.IGNORECASE,
)
"""Names whose values are masked whatever they are."""

_ASSIGNED: Final = r"token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|signature|credential"
_HEADER: Final = r"authorization|(?:set-)?cookie|x-[\w-]{0,30}token|apca-api-[\w-]{1,30}"
_PATTERNS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), kept)
    for pattern, kept in (
        (r"\b(bearer)(\s+|%20|\+)[^\s\"'<>\\*]{6,}", rf"\1\2{MASK}"),
        (r"\b(basic)(\s+|%20)(?-i:(?=[a-z]*[0-9A-Z=+/]))[a-z0-9+/_-]{8,}={0,2}", rf"\1\2{MASK}"),
        (rf"\b({_HEADER})([\"']?\s*[:=]\s*[\"']?)(?!bearer|basic)[^\r\n\"'*]+", rf"\1\2{MASK}"),
        (r"\b([a-z][a-z0-9+.-]{0,20}(?:://|%3a%2f%2f))[^/\s:@\"'%]{0,200}(?::|%3a)[^/\s@\"']{1,500}?(?=@|%40)",
         rf"\1{MASK}"),
        (r"\b([a-z][a-z0-9+.-]{0,20}://)[^/\s:@\"'*]{8,200}(?=@)", rf"\1{MASK}"),
        (r"(/bot)[0-9]{6,12}(?::|%3a)[\w-]{20,}", rf"\1{MASK}"),
        (r"(?<![0-9a-z])[0-9]{8,10}:[\w-]{35}(?![\w-])", MASK),
        (r"(hooks\.slack\.com(?:/|%2f)services(?:/|%2f)|/api/webhooks/)[^\s\"'<>\\*]+", rf"\1{MASK}"),
        (rf"((?:{_ASSIGNED})[\w.-]{{0,40}}(?:=|%3d)[\"']?)[^\s\"'&;,<>)}}\]\\*]{{3,}}", rf"\1{MASK}"),
        (rf"((?:{_ASSIGNED})[\w.-]{{0,40}}\\?[\"']\s*:\s*\\?[\"'])[^\"'\\*]+", rf"\1{MASK}"),
        (r"([?&](?:key|sig|auth|apikey)=)[^\s\"'&#<>\\*]+", rf"\1{MASK}"),
        (r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]{4,}", MASK),
        (r"\bxox[a-z]-[\w-]{8,}", MASK),
    )
)  # fmt: skip


class Scrubber:
    """Masks one set of secrets; immutable, and `scrub` of what was scrubbed changes nothing."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know `secrets`, whatever their length."""
        self.secrets: Final = frozenset(text for text in secrets if len(text) >= LENGTH_MIN)
        pieces = {piece for secret in self.secrets for piece in (secret, *_parts_of_url(secret))}
        forms = {form for piece in pieces if len(piece) >= _WORD_BELOW for form in _forms(piece)}
        self._forms: Final = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        short = sorted((re.escape(piece) for piece in pieces if LENGTH_MIN <= len(piece) < _WORD_BELOW), reverse=True)
        self._words: Final = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(short)})(?![A-Za-z0-9])") if short else None
        uncut = {
            form for piece in pieces if "://" not in piece and len(piece) >= _PARTED_FROM for form in _forms(piece)
        }
        cut = sorted(form for form in uncut if len(form) >= _PARTED_FROM)
        self._beginnings: Final = _by_beginning(cut)
        self._endings: Final = _by_beginning(form[::-1] for form in cut)

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        for part, wholes in self._beginnings.items():
            if part in text:
                text = _mask_runs(text, part, wholes)
        for part, wholes in self._endings.items():
            if part[::-1] in text:
                text = _mask_runs(text[::-1], part, wholes)[::-1]
        if self._words is not None:
            text = self._words.sub(MASK, text)
        for pattern, kept in _PATTERNS:
            text = pattern.sub(kept, text)
        return text

    def value(self, value: object, name: object = "", depth: int = 0) -> object:
        """Return `value`, which belongs to `name`, without secrets at any depth, in what JSON can say."""
        if isinstance(name, str) and SECRET_NAME.search(name):
            return MASK
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return MASK if str(value) in self.secrets else value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode(errors="backslashreplace"))
        if depth >= _DEPTH_MAX:
            return "..."
        if isinstance(value, Mapping):
            return {self._key(key): self.value(inner, key, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(inner, "", depth + 1) for inner in value]
        return self.text(repr(value))

    def payload(self, payload: str) -> str:
        """Return a record's canonical JSON without secrets, still a record: names and numbers stay."""
        try:
            found = json.loads(payload)
        except (ValueError, RecursionError):
            return self.text(payload)  # no record: a text like any other
        clean = self.strings(found)
        return payload if clean == found else json.dumps(clean, separators=(",", ":"))

    def strings(self, value: Json) -> Json:
        """Return JSON-ready data without secrets: names stay, and so do numbers written as texts."""
        if isinstance(value, str):
            if _NUMBER.fullmatch(value):  # a price that contains an account's number is still a price
                return MASK if value in self.secrets else value
            return self.text(value)
        if isinstance(value, list):
            return [self.strings(inner) for inner in value]
        if isinstance(value, dict):
            return {name: self.strings(inner) for name, inner in value.items()}
        return value

    def _key(self, key: object) -> str:
        return self.text(key if isinstance(key, str) else repr(key))


def _by_beginning(forms: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for form in forms:
        if _is_telling(part := form[:_PART]):
            found[part] = (*found.get(part, ()), form)
    return found


def _mask_runs(text: str, part: str, wholes: Iterable[str]) -> str:
    """Mask every place where `text` begins to say one of `wholes`, as far as it does; all of them begin with `part`."""
    pieces, position = [], 0
    while (found := text.find(part, position)) >= 0:
        end = found + max(_common(text, found, whole) for whole in wholes)
        pieces += [text[position:found], MASK]
        position = end
    return "".join([*pieces, text[position:]])


def _common(text: str, at: int, whole: str) -> int:
    """Return how many characters of `text` from `at` on are the beginning of `whole`."""
    pairs = enumerate(zip(text[at : at + len(whole)], whole, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(text) - at, len(whole)))


def _is_telling(part: str) -> bool:
    """Return whether a part gives its secret away: not a plain word or a plain number, which may be anybody's."""
    return not (part.isalpha() and (part.islower() or part.istitle() or part.isupper()))


def _parts_of_url(secret: str) -> Iterator[str]:
    """Yield what is secret within a URL that is one: password, long path segments, values of its query."""
    if "://" not in secret:
        return
    try:
        url = urlsplit(secret)
        password = url.password
    except ValueError:
        return  # no URL after all; as a whole it is masked
    if password:
        yield password
        yield unquote(password)
    if url.username and not password and len(url.username) >= _WORD_BELOW:
        yield url.username
    yield from (part for part in url.path.split("/") if len(part) >= _PARTED_FROM or _is_random(part))
    yield from (value for _, value in parse_qsl(url.query) if len(value) >= _WORD_BELOW)


def _is_random(part: str) -> bool:
    return len(part) >= _WORD_BELOW and any(sign.isdigit() for sign in part) and any(map(str.isalpha, part))


def _forms(secret: str) -> Iterator[str]:
    """Yield how `secret` may be written."""
    raw = secret.encode(errors="surrogatepass")
    quoted = {quote(secret, safe="", errors="replace"), quote(secret, errors="replace"),
              quote_plus(secret, errors="replace")}  # fmt: skip
    percent = "".join(f"%{byte:02X}" for byte in raw)
    signs = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in raw)  # noqa: PLR2004
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1],
               repr(raw)[2:-1]}  # fmt: skip
    yield secret
    quoted.add(signs)
    yield from quoted
    yield from (re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text) for text in quoted)
    yield from (quote(text, safe="") for text in quoted)  # an address within an address
    yield from escaped
    yield from (json.dumps(text)[1:-1] for text in escaped)
    yield from (percent, percent.lower(), raw.hex(), raw.hex().upper())
    for offset in range(3):  # wherever it stands within what was encoded, as after `user:`
        whole = base64.b64encode(b"\0" * offset + raw).decode()
        begin, end = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
        for text in (whole[begin:end], whole[begin:end].translate(str.maketrans("+/", "-_"))):
            if len(text) >= _WORD_BELOW:
                yield text


class _Known:
    """The secrets that this process has learned; it forgets none, for an old one may still be quoted."""

    scrubber = Scrubber()


def learn(secrets: Iterable[str]) -> None:
    """Mask `secrets` from now on in whatever this process writes down."""
    known = _Known.scrubber.secrets
    if not known.issuperset(new := {text for text in secrets if len(text) >= LENGTH_MIN}):
        _Known.scrubber = Scrubber(known | new)


def forget() -> None:
    """Forget what was learned: for tests, which follow each other in one process."""
    _Known.scrubber = Scrubber()


def scrubber() -> Scrubber:
    """Return what masks all that this process has learned so far."""
    return _Known.scrubber


def scrub(text: str) -> str:
    """Return `text` without any secret that this process knows, or that looks like one."""
    return _Known.scrubber.text(text)


__all__ = ["LENGTH_MIN", "SECRET_NAME", "Scrubber", "forget", "learn", "scrub", "scrubber"]

"""What is masked before anything is written down: our secrets in every form, and whatever looks like one."""

import base64
import json
import random
import time
import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.error_handler import MASK, ConfigError
from tbot_bot.config.scrub import LENGTH_MIN, Scrubber, scrub
from tbot_bot.config.settings import load_settings

SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="\0*"), min_size=8, max_size=60)
ASCII_SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=8, max_size=60
)
AROUND = st.text(st.characters(codec="ascii", exclude_characters="*"), max_size=30)

FORMS = {
    "plain": lambda secret: secret,
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded path": quote,
    "of a form": quote_plus,
    "percent-encoded twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "lower-case escapes": lambda secret: "".join(
        f"%{byte:02x}" if not chr(byte).isalnum() or byte > 127 else chr(byte) for byte in secret.encode()
    ),
    "every byte escaped": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON within JSON": lambda secret: json.dumps(json.dumps(secret))[3:-3],
    "repr": lambda secret: repr(secret)[1:-1],
    "repr of bytes": lambda secret: repr(secret.encode())[2:-1],
    "hexadecimal": lambda secret: secret.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_known_secret_is_found_in_every_form(form, secret, before, after):
    written = form(secret)
    shown = Scrubber([secret]).text(f"{before} {written} {after}")

    assert written not in shown
    assert MASK in shown


@given(secret=ASCII_SECRETS, login=st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=9))
def test_a_login_header_gives_no_password_away(secret, login):
    header = base64.b64encode(f"{login}:{secret}".encode()).decode()
    shown = Scrubber([secret]).text(f"sent [{header}]")

    middle = header[len(header) // 2 - 3 : len(header) // 2 + 5] if not login else header[-12:-4]
    assert MASK in shown
    assert middle not in shown


@given(seed=st.integers(0, 10_000), cut=st.integers(12, 23))
def test_what_a_limit_has_cut_is_found_too(seed, cut):
    dice = random.Random(seed)
    secret = "a1" + "".join(dice.choices("abcXYZ0123456789-_", k=28)) + "9z"
    scrubber = Scrubber([secret])

    assert scrubber.text(f"refused: {secret[:cut]}") == f"refused: {MASK}"
    assert scrubber.text(f"{secret[-cut:]} was refused") == f"{MASK} was refused"


@given(st.lists(SECRETS, max_size=3), st.text(max_size=200))
def test_what_is_scrubbed_stays_as_it_is(secrets, text):
    scrubber = Scrubber(secrets)
    once = scrubber.text(text + "".join(secrets))

    assert scrubber.text(once) == once


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_comes_through(text):
    assert isinstance(Scrubber(["changeme1"]).text(text), str)


LOOKS = (
    ("Authorization: Bearer abcdef123456.xyz", "abcdef123456"),
    ("{'authorization': 'Bearer zzTopSecret99'}", "zzTopSecret99"),
    ("headers={'APCA-API-SECRET-KEY': 'q9w8e7r6t5'}", "q9w8e7r6t5"),
    ("X-Finnhub-Token: c0ffee0badf00d", "c0ffee0badf00d"),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNz"),
    ("Cookie: session=8f7e6d5c4b; theme=dark", "8f7e6d5c4b"),
    ("GET https://finnhub.io/api/v1/quote?symbol=AAPL&token=zz9plural", "zz9plural"),
    ("GET https://x.test/?api_key=zz9plural&a=1", "zz9plural"),
    ("GET https://x.test/?q=1&key=zz9plural#top", "zz9plural"),
    ("redirect=https%3A%2F%2Fx.test%2F%3Ftoken%3Dzz9plural", "zz9plural"),
    ("POST https://api.telegram.org/bot123456789:AAH-abcdefghijklmnopqrstuvwxyz01234/sendMessage", "AAH-abcdefgh"),
    ("postgresql://tbot:pa55word@db.test:5432/tbot", "pa55word"),
    ("https://user:p%40ss@mail.test/", "p%40ss"),
    ("sftp://9a8b7c6d5e4f@backup.test/", "9a8b7c6d5e4f"),
    ("https://hooks.slack.com/services/T01/B02/abcdefXYZ", "abcdefXYZ"),
    ("https://discord.com/api/webhooks/123/abcdef-XYZ", "abcdef-XYZ"),
    ('{"access_token": "zz9plural", "ok": true}', "zz9plural"),
    ("SMTP_PASSWORD=hunter22", "hunter22"),
    ("client_secret='hunter22'", "hunter22"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123", "eyJzdWIiOiIxIn0"),
    ("slack token xoxb-123456-abcdef", "123456-abcdef"),
)


@pytest.mark.parametrize(("text", "secret"), LOOKS)
def test_what_looks_like_a_secret_is_masked_though_nobody_knows_it(text, secret):
    shown = Scrubber().text(text)

    assert secret not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-02/open: close 51.20 broke the range high 50.91",
        "ENCRYPTION_KEY: expected 32 bytes as 44 characters of urlsafe base64; see .env",
        ".env:12: FINNHUB_API_KEY='********': expected a key of letters, digits and signs without spaces, or nothing",
        "KeyError: 'AAPL' in tbot_bot/core/bars.py, line 12",
        "tbot-20251202-open-1-simulator-AAPL-E1 rejected: buying power 1000.00, needed 1200.00",
        "http://127.0.0.1:9101/metrics and mail@example.com",
        "the bearer of this note",
        "a basic understanding of tokens: none",
        "",
    ],
)
def test_plain_words_are_left_alone(text):
    assert Scrubber(["zz9pluralzalpha"]).text(text) == text


def test_short_secrets_count_as_words_and_shorter_ones_cannot_be_hidden():
    scrubber = Scrubber(["pass", "abc"])
    assert scrubber.text("pass, passed, by-pass; abc") == f"{MASK}, passed, by-{MASK}; abc"
    assert LENGTH_MIN == 4


def test_the_secret_parts_of_an_address_are_secrets_of_their_own():
    scrubber = Scrubber(
        ["https://hooks.example.com/in/T0123456789/abcDEF123ghi?sig=zz9plural", "s3://id:se%2Fcret99@x/backups"]
    )
    assert scrubber.text("no such hook abcDEF123ghi (zz9plural)") == f"no such hook {MASK} ({MASK})"
    assert scrubber.text("login se/cret99, se%2Fcret99") == f"login {MASK}, {MASK}"
    assert scrubber.text("https://example.com/backups/tradebot") == "https://example.com/backups/tradebot"


class Connection:
    def __repr__(self):
        return "Connection(key=zz9pluralzalpha)"


@given(st.recursive(
    st.sampled_from(["a zz9pluralzalpha b", b"\xff zz9pluralzalpha", Connection(), ValueError("zz9pluralzalpha"), 7]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "zz9pluralzalpha"]), inner)
    | st.tuples(inner) | st.builds(lambda one: {"password": one}, inner), max_leaves=12,
))  # fmt: skip
def test_values_are_scrubbed_at_any_depth_and_json_can_say_them(value):
    shown = json.dumps(Scrubber(["zz9pluralzalpha"]).value(value))

    assert "zz9" not in shown


def test_what_contains_itself_comes_to_an_end():
    loop: list[object] = ["zz9pluralzalpha"]
    loop.append(loop)
    assert "zz9" not in json.dumps(Scrubber(["zz9pluralzalpha"]).value(loop))


def test_a_record_stays_a_record():
    scrubber = Scrubber(["12345678", "zz9pluralzalpha"])
    payload = '{"is":"Noted","at":12345678,"size":"112345678.5","text":"zz9pluralzalpha \\u00e9 12345678"}'
    assert scrubber.payload(payload) == (
        f'{{"is":"Noted","at":12345678,"size":"112345678.5","text":"{MASK} \\u00e9 {MASK}"}}'
    )
    assert scrubber.payload('{"a":"b"}') == '{"a":"b"}'
    assert scrubber.payload("zz9pluralzalpha, no JSON") == f"{MASK}, no JSON"


def test_a_traceback_with_causes_and_notes_is_clean():
    secret = "zz9pluralzalpha"
    try:
        try:
            raise KeyError(secret)  # noqa: TRY301 - a cause of the next one
        except KeyError as error:
            error.add_note(f"while sending {secret}")
            raise ValueError({"url": f"https://x.test/{quote(secret)}", "raw": secret.encode()}) from error
    except ValueError:
        shown = Scrubber([secret]).text(traceback.format_exc())

    assert "zz9" not in shown
    assert shown.count(MASK) >= 4


def test_loading_the_settings_teaches_their_secrets_even_unusable_ones(tmp_path):
    (tmp_path / ".env").write_text(
        "FINNHUB_API_KEY=zz9pluralzalpha\nALERT_URLS=json://alpha55beta@h.test,mailto://gamma66delta@h.test\n"
    )
    load_settings(tmp_path, defaults_if_absent=True)
    assert scrub("zz9pluralzalpha alpha55beta gamma66delta") == f"{MASK} {MASK} {MASK}"


def test_scrubbing_a_line_is_cheap_and_a_long_text_takes_no_square_of_its_length():
    scrubber = Scrubber([f"secret-number-{number}-{'x' * 20}{number}" for number in range(25)])
    for text in ("a" * 100_000, "token" * 20_000, "://" * 30_000, "=" * 100_000, "x-" * 50_000, "eyJ" * 30_000):
        before = time.perf_counter()
        scrubber.text(text)
        assert time.perf_counter() - before < 3


def test_a_secret_on_a_line_that_cannot_be_used_is_a_secret_all_the_same(tmp_path):
    """A tab, an unclosed quote, `export`, a second line: the owner meant a secret, and may have it elsewhere, too."""
    (tmp_path / ".env").write_text(
        'FINNHUB_API_KEY="zz9pluralzalpha \t"\nSMTP_PASS="alpha55beta\nexport MERCURY_API_TOKEN=gamma66delta\n'
        "ALPACA_LIVE_API_KEY=one77two\nALPACA_LIVE_API_KEY=three88four\nSMTP_HOST=a\tplain.name\n"
    )
    with pytest.raises(ConfigError):
        load_settings(tmp_path, defaults_if_absent=True)
    assert set(scrub("zz9pluralzalpha alpha55beta gamma66delta one77two three88four").split()) == {MASK}
    assert scrub("plain.name") == "plain.name"

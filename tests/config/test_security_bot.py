"""The sealed form: what was sealed comes back, and nothing else ever does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.security_bot import SealBroken, SealingKey, key_id_of, seal, unseal

KEY = SealingKey(bytes(range(32)))
OTHER = SealingKey(bytes(32))
TEXT = b"TEST_MODE=true\nMAX_TRADES=4\n"


@given(plain=st.binary(max_size=2000), material=st.binary(min_size=32, max_size=32))
def test_what_was_sealed_comes_back_with_its_key(plain, material):
    key = SealingKey(material)

    assert unseal(seal(plain, key), key) == plain


def test_a_flipped_bit_anywhere_is_noticed():
    sealed = seal(TEXT, KEY)

    for position in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(SealBroken, match="tampered or wrong key"):
            unseal(bytes(damaged), KEY)


@given(cut=st.integers(0, 90), tail=st.binary(max_size=40))
def test_a_file_that_was_cut_or_grew_is_noticed(cut, tail):
    sealed = seal(TEXT, KEY)
    other = sealed[:cut] + tail

    if other != sealed:
        with pytest.raises(SealBroken, match="tampered or wrong key"):
            unseal(other, KEY)


def test_another_key_is_named_and_neither_is_shown():
    with pytest.raises(SealBroken) as caught:
        unseal(seal(TEXT, OTHER), KEY)

    said = str(caught.value)
    assert "tampered or wrong key" in said
    assert OTHER.id in said
    assert KEY.id in said
    assert not {OTHER.text, KEY.text} & set(said.split())


def test_a_forged_key_id_does_not_open_the_file():
    sealed = bytearray(seal(TEXT, OTHER))
    sealed[9:17] = bytes.fromhex(KEY.id)

    with pytest.raises(SealBroken, match="tampered or wrong key"):
        unseal(bytes(sealed), KEY)


def test_the_same_text_is_never_sealed_the_same_way_twice():
    nonces = {seal(TEXT, KEY)[17:29] for _ in range(200)}

    assert len(nonces) == 200


def test_a_sealed_file_names_its_key_and_shows_nothing_of_its_text():
    sealed = seal(TEXT, KEY)

    assert key_id_of(sealed) == KEY.id
    assert b"MAX_TRADES" not in sealed
    assert KEY.material not in sealed


def test_a_later_format_is_not_guessed_at():
    sealed = bytearray(seal(TEXT, KEY))
    sealed[8] = 2

    with pytest.raises(SealBroken, match="format 2"):
        unseal(bytes(sealed), KEY)


@given(material=st.binary(min_size=32, max_size=32))
def test_a_key_is_read_back_from_its_text(material):
    key = SealingKey(material)

    assert SealingKey.parse(f" {key.text}\n") == key
    assert key.text not in repr(key)
    assert SealingKey.parse(key.text).id == key.id


@pytest.mark.parametrize(
    "text", ["", "changeme", "A" * 44, "A" * 42 + "==", "A" * 43 + "=\n" + "A", "+" * 43 + "=", "é" * 43 + "="]
)
def test_what_is_no_key_is_refused_and_not_shown(text):
    with pytest.raises(ValueError, match="32 bytes as 44 characters") as caught:
        SealingKey.parse(text)

    assert not text or text not in str(caught.value)


def test_new_keys_differ():
    assert len({SealingKey.generate().text for _ in range(50)}) == 50


def test_the_file_says_what_the_documentation_says():
    """Known answer: a file of format 1, opened by hand with the header as associated data."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    sealed = seal(TEXT, KEY)

    assert sealed[:9] == b"TBOTSEAL\x01"
    assert AESGCM(KEY.material).decrypt(sealed[17:29], sealed[29:], sealed[:17]) == TEXT

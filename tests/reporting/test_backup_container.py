"""The sealed file: what goes in comes out, and each kind of damage has its name."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.security_bot import SealingKey
from tbot_bot.reporting import backup_container
from tbot_bot.reporting.backup_container import OpeningReader, SealingWriter, read_header
from tbot_bot.reporting.backup_errors import BackupDamaged, Damage
from tbot_bot.reporting.backup_keys import RecipientKey, SettingsKey, key_of_file
from tests.support.backup_home import KEY, OTHER

CHUNK = 64
ABOUT = {"what": "records", "mode": "paper"}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(backup_container, "CHUNK_BYTES", CHUNK)


def sealed(content, keys=(KEY,)):
    file = io.BytesIO()
    writer = SealingWriter(file, keys, ABOUT)
    for at in range(0, len(content), 17):
        writer.write(content[at : at + 17])
    writer.finish()
    return file.getvalue()


def opened(data, key=KEY):
    reader = OpeningReader(io.BytesIO(data), key, "it")
    pieces = []
    while piece := reader.read(23):
        pieces.append(piece)
    reader.finish()
    return b"".join(pieces)


def damage_of(data, key=KEY):
    with pytest.raises(BackupDamaged) as refused:
        opened(data, key)
    return refused.value.damage


def parted(data):
    """Return the header and each chunk with its length."""
    file = io.BytesIO(data)
    read_header(file, "it")
    header, chunks = data[: file.tell()], []
    while head := file.read(4):
        length = struct.unpack(">I", head)[0] & 0x7FFFFFFF
        chunks.append(head + file.read(length))
    return header, chunks


@given(content=st.binary(max_size=300))
def test_what_was_sealed_is_what_is_opened(content):
    assert opened(sealed(content)) == content


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_the_edges_of_chunks_lose_nothing(length):
    assert opened(sealed(b"x" * length)) == b"x" * length


def test_the_same_content_is_never_sealed_alike():
    assert parted(sealed(b"same"))[1] != parted(sealed(b"same"))[1]


@given(bit=st.integers(min_value=0))
def test_no_flipped_bit_goes_unnoticed(bit):
    data = bytearray(sealed(b"abc" * 50))
    at = bit % (len(data) * 8)
    data[at // 8] ^= 1 << (at % 8)

    assert damage_of(bytes(data)) in {Damage.ALTERED, Damage.TRUNCATED, Damage.FOREIGN}


@given(end=st.integers(min_value=0))
def test_no_cut_goes_unnoticed(end):
    data = sealed(b"abc" * 50)

    assert damage_of(data[: end % len(data)]) is Damage.TRUNCATED


@pytest.mark.parametrize(
    ("change", "damage"),
    [
        (lambda chunks: [chunks[0], *chunks[2:]], Damage.MISSING_CHUNK),
        (lambda chunks: chunks[1:], Damage.MISSING_CHUNK),
        (lambda chunks: [chunks[1], chunks[0], *chunks[2:]], Damage.MISSING_CHUNK),
        (lambda chunks: [*chunks[:-2], chunks[-1]], Damage.MISSING_CHUNK),
        (lambda chunks: [chunks[0], *chunks], Damage.MISSING_CHUNK),
        (lambda chunks: chunks[:-1], Damage.TRUNCATED),
        (lambda chunks: [*chunks, chunks[-1]], Damage.FOREIGN),
        (lambda chunks: [*chunks[:-2], bytes([chunks[-2][0] | 0x80]) + chunks[-2][1:]], Damage.ALTERED),
    ],
    ids=["second lost", "first lost", "swapped", "last but one lost", "doubled", "end lost", "more", "end forged"],
)
def test_chunks_out_of_their_place_are_named(change, damage):
    header, chunks = parted(sealed(b"".join(bytes([number]) * CHUNK for number in range(5))))

    assert damage_of(header + b"".join(change(chunks))) is damage


def test_chunks_of_another_backup_do_not_fit_though_the_key_is_the_same():
    header, chunks = parted(sealed(b"a" * 3 * CHUNK))
    _, others = parted(sealed(b"b" * 3 * CHUNK))

    assert damage_of(header + chunks[0] + others[1] + chunks[2]) is Damage.ALTERED


def test_another_key_is_a_wrong_key_and_the_message_names_both_ids():
    with pytest.raises(BackupDamaged, match=f"{KEY.id}; the one at hand is {OTHER.id}") as refused:
        opened(sealed(b"x"), OTHER)
    assert refused.value.damage is Damage.WRONG_KEY


def test_either_of_two_keys_opens_and_the_public_one_alone_does_not():
    pair = RecipientKey.generate()
    data = sealed(b"for two", (KEY, RecipientKey.parse(pair.text)))

    assert opened(data, KEY) == opened(data, key_of_file(f"{pair.private_text}\n")) == b"for two"
    assert damage_of(data, RecipientKey.parse(pair.text)) is Damage.WRONG_KEY
    assert damage_of(data, RecipientKey.generate()) is Damage.WRONG_KEY


def test_keys_show_nothing_of_themselves():
    pair = RecipientKey.generate()

    assert pair.private_text.partition(":")[2] not in repr(pair)
    assert key_of_file(SealingKey(bytes(32)).text) == SettingsKey(SealingKey(bytes(32)))
    with pytest.raises(ValueError, match="ENCRYPTION_KEY") as refused:
        key_of_file("hunter22hunter22")
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("data", [b"PK\x03\x04" + bytes(90), b"", b"TBOTSEAL" + bytes(60)])
def test_another_file_is_no_backup(data):
    assert damage_of(data) in {Damage.FOREIGN, Damage.TRUNCATED}


def test_a_later_format_is_refused_by_its_number():
    data = bytearray(sealed(b"x"))
    data[8] = 9

    with pytest.raises(BackupDamaged, match="format 9 is not known"):
        opened(bytes(data))

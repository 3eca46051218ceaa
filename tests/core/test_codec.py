"""Records to JSON and back: exactly, and only what can be read again."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.codec import CodecError, dumps, loads, record


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@record
class CodecPoint(NamedTuple):
    x: int
    y: float


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CodecOther:
    text: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSample:
    price: Decimal
    day: date
    colour: Colour
    level: Level
    points: tuple[CodecPoint, ...]
    either: CodecPoint | CodecOther | None
    pair: tuple[str, Decimal]
    flag: bool


class Unregistered(NamedTuple):
    x: int


POINTS = st.builds(CodecPoint, st.integers(), st.floats(allow_nan=False))
SAMPLES = st.builds(
    CodecSample,
    price=st.decimals(allow_nan=False, allow_infinity=False),
    day=st.dates(),
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    points=st.lists(POINTS, max_size=4).map(tuple),
    either=st.none() | POINTS | st.builds(CodecOther, text=st.text()),
    pair=st.tuples(st.text(), st.decimals(allow_nan=False, allow_infinity=False)),
    flag=st.booleans(),
)


@given(SAMPLES)
def test_a_record_comes_back_as_it_was_in_one_line_of_ascii(sample):
    text = dumps(sample)

    assert loads(text) == sample
    assert dumps(loads(text)) == text
    assert text.isascii()
    assert "\n" not in text


def sample(**changes):
    plain = CodecSample(
        price=Decimal("1.10"),
        day=date(2025, 12, 2),
        colour=Colour.RED,
        level=Level.HIGH,
        points=(),
        either=None,
        pair=("a", Decimal(1)),
        flag=True,
    )
    return replace(plain, **changes)


def test_a_decimal_keeps_its_trailing_zeros():
    kept = loads(dumps(sample(price=Decimal("1.100"))))

    assert isinstance(kept, CodecSample)
    assert str(kept.price) == "1.100"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Unregistered(1), "is not a record"),
        (sample(either=Unregistered(1)), "is not a record"),
        (sample(pair=("a", {1, 2})), "cannot hold"),
        (sample(day=datetime(2025, 12, 2, tzinfo=UTC)), "cannot hold"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(value, words):
    with pytest.raises(CodecError, match=words):
        dumps(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a record"),
        ("[1]", "not a record"),
        ("{", "not a record"),
        ('{"_":"NoSuchThing"}', "unknown record"),
        ('{"_":"CodecOther","text":"a","more":1}', "no field 'more'"),
        ('{"_":"CodecOther"}', "CodecOther"),
        ('{"_":"CodecOther","text":1}', "str expected"),
        ('{"_":"CodecPoint","x":"1","y":2.0}', "int expected"),
        ('{"_":"CodecPoint","x":' + "9" * 5000 + ',"y":2.0}', "not a record"),
        ("[" * 100_000, "not a record"),
    ],
)
def test_a_text_that_is_no_record_is_one_clear_error(text, words):
    with pytest.raises(CodecError, match=words):
        loads(text)


def test_a_nested_record_of_another_kind_is_refused():
    text = dumps(sample(points=(CodecPoint(1, 2.0),)))
    wrong = text.replace('{"_":"CodecPoint","x":1,"y":2.0}', '{"_":"CodecOther","text":"a"}')

    with pytest.raises(CodecError, match="CodecPoint expected"):
        loads(wrong)


def test_two_records_of_one_name_are_a_mistake_that_shows_at_once():
    class CodecOther(NamedTuple):  # the same name, elsewhere
        x: int

    CodecOther.__module__ = "somewhere.else"
    with pytest.raises(TypeError, match="two records are called CodecOther"):
        record(CodecOther)

"""Whatever the engine takes in or gives out can be written down and read back, exactly."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.core import commands, events
from tbot_bot.core.codec import dumps, loads
from tbot_bot.core.events import BarsClosed
from tbot_bot.core.foreign_orders import ForeignOrdersSeen
from tbot_bot.core.halts import HaltsTold
from tbot_bot.core.trails import StopTrailed
from tbot_bot.trading.spec import SessionSpec
from tests.support.scenario import Scenario, spec_of

PARTS = {commands.Decided, commands.CheckAnswered}  # the row around the outputs, and a part of some of them
TAPED = {BarsClosed}  # the hot event travels on the tape, see tests/journal


def classes_of(module):
    """Return the record classes that `module` itself defines."""
    here = [thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == module.__name__]
    return [cls for cls in here if is_dataclass(cls)]


def members(union: object) -> Iterator[type]:
    for member in get_args(union):
        if get_origin(member) in {Union, UnionType}:
            yield from members(member)
        else:
            yield member


def values(hint: object) -> st.SearchStrategy[object]:
    """Return a strategy for any type that a record may hold."""
    origin, arguments = get_origin(hint), get_args(hint)
    supertype = getattr(hint, "__supertype__", None)
    if supertype is not None:
        return values(supertype)
    if origin in {Union, UnionType}:
        return st.one_of([st.none() if part is NoneType else values(part) for part in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(part) for part in arguments])
    assert isinstance(hint, type), hint
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    if is_dataclass(hint) or hasattr(hint, "_fields"):
        return records(hint)
    return {
        str: st.text(max_size=8),
        bool: st.booleans(),
        int: st.integers(-(10**19), 10**19),
        float: st.floats(allow_nan=False),
        Decimal: st.decimals(allow_nan=False, allow_infinity=False),
        date: st.dates(),
    }[hint]


def records(cls: type) -> st.SearchStrategy[object]:
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls)] if is_dataclass(cls) else list(getattr(cls, "_fields", ()))
    return st.fixed_dictionaries({name: values(hints[name]) for name in names}).map(lambda drawn: cls(**drawn))


EVENTS = [*classes_of(events), ForeignOrdersSeen, HaltsTold, StopTrailed]
ALL = [*EVENTS, *(cls for cls in classes_of(commands) if cls is not commands.Decided), SessionSpec]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_record_comes_back_as_it_was_written(cls):
    @settings(max_examples=10)
    @given(records(cls))
    def check(value):
        text = dumps(value)
        back = loads(text)

        assert back == value
        assert type(back) is type(value)
        assert dumps(back) == text
        assert "NaN" not in text or "NaN" in repr(value)

    check()


def test_no_event_and_no_output_is_left_out():
    assert set(members(events.Event)) - TAPED <= set(ALL)
    assert set(members(commands.Output)) <= set(ALL)


def test_no_class_of_the_modules_is_missing_from_the_unions():
    assert set(EVENTS) == set(members(events.Event)) - TAPED
    assert set(classes_of(commands)) == set(members(commands.Output)) | PARTS


def test_a_whole_session_as_told_comes_back():
    told = Scenario()
    told.range_of()
    told.bars(20, AAA=103.10)
    _, stop = told.enter("103.10")
    told.fill(stop, "101")
    row = commands.Decided(number=1, at=told.at, tape_digest="0" * 64, outputs=tuple(told.story))

    assert loads(dumps(row)) == row
    assert loads(dumps(spec_of())) == spec_of()

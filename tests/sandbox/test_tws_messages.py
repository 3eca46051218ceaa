"""The pure half of the TWS protocol: frames, and records that survive the way to the wire and back."""

import contextlib
import dataclasses
import inspect
import itertools
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.sandbox import tws_orders, tws_replies
from tbot_bot.sandbox.tws_contracts import ContractAsked, PriceCondition, Waits
from tbot_bot.sandbox.tws_fields import Message, attributes_of, read_number
from tbot_bot.sandbox.tws_frames import (
    FRAME_BYTES_MAX,
    GREETING,
    FrameReader,
    Malformed,
    fields_of,
    frame,
    frame_of,
    versions_of,
)
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_requests import KINDS, CancelOrder, NotOffered, ReqExecutions, ReqPositions, request_of

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.decimals(min_value=-(10**9), max_value=10**9, places=4, allow_nan=False)
INTEGERS = st.integers(min_value=-(2**31) + 1, max_value=2**31 - 2)
REPLIES = tuple(
    kind
    for module in (tws_replies, tws_orders)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Message) and kind is not Message
)
LEAVES = {str: TEXTS, int: INTEGERS, bool: st.booleans(), Decimal: NUMBERS}


def values(hint):
    """Return a strategy for what an attribute with this annotation may hold."""
    if get_origin(hint) is Annotated:
        return values(get_args(hint)[0])
    if get_origin(hint) in {Union, UnionType}:
        [inner] = [argument for argument in get_args(hint) if argument is not NoneType]
        return values(inner) if dataclasses.is_dataclass(inner) else st.none() | values(inner)
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    return LEAVES[hint] if hint in LEAVES else records(hint)


@st.composite
def records(draw, kind):
    """Draw a record whose attributes are set only where they are on the wire."""
    hints = get_type_hints(kind, include_extras=True)
    drawn: dict[str, object] = {}
    for attribute in attributes_of(kind):
        if attribute.present is None or attribute.present(drawn):
            few = {"conditions": st.integers(0, 1), "kind": st.just(1)} if kind in {Waits, PriceCondition} else {}
            drawn[attribute.name] = draw(
                few[attribute.name] if attribute.name in few else values(hints[attribute.name])
            )
    return kind(**drawn)


@given(st.sampled_from(sorted(KINDS.values(), key=lambda kind: kind.number)).flatmap(records))
def test_every_request_survives_the_way_to_the_wire_and_back(request):
    [payload] = FrameReader().feed(GREETING + frame_of(request.fields()))
    assert request_of(fields_of(payload)) == request


@given(st.sampled_from(REPLIES).flatmap(records))
def test_every_answer_survives_the_way_to_the_wire_and_back(reply):
    [payload] = FrameReader().feed(GREETING + frame_of(reply.fields()))
    assert type(reply).parse(fields_of(payload)) == reply


def test_no_two_messages_of_one_direction_share_a_number():
    numbers = [kind.number for kind in REPLIES]
    assert len(set(numbers)) == len(numbers)
    assert all(kind.number == number for number, kind in KINDS.items())


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=6), st.lists(st.integers(0, 200), max_size=8))
def test_frames_are_the_same_however_the_socket_cuts_them(payloads, cuts):
    stream = GREETING + b"".join(frame(payload) for payload in payloads)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader()
    found = []
    for start, end in itertools.pairwise(places):
        found += reader.feed(stream[start:end])
    assert found == payloads


@given(st.binary(max_size=80))
def test_no_bytes_do_more_than_raise_malformed(data):
    for stream in (data, GREETING + data):
        with contextlib.suppress(Malformed):
            for payload in FrameReader().feed(stream):
                request_of(fields_of(payload))


@given(
    st.lists(
        st.one_of(TEXTS, st.integers(-3, 110).map(str), st.sampled_from(["nan", "1e999", "-1", "9" * 50])),
        min_size=1,
        max_size=160,
    )
)
def test_no_fields_do_more_than_raise_malformed(fields):
    with contextlib.suppress(Malformed):
        request_of(fields)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"GET / HTTP/1.1\r\n", "does not begin with API"),
        (GREETING + b"\0\0\0\0", "a frame of 0 bytes"),
        (GREETING + (FRAME_BYTES_MAX + 1).to_bytes(4, "big"), "a frame of 16777216 bytes"),
    ],
)
def test_a_stream_of_something_else_is_refused_at_its_start(stream, says):
    with pytest.raises(Malformed, match=says):
        FrameReader().feed(stream)


def test_a_frame_must_end_its_last_field_and_be_text():
    with pytest.raises(Malformed, match="does not end with NUL"):
        fields_of(b"61\x001")
    with pytest.raises(Malformed, match="not UTF-8 at byte 3"):
        fields_of(b"61\0\xff\0")


@pytest.mark.parametrize(
    ("greeting", "offers"), [(b"v100..178", (100, 178)), (b"v176", (176, 176)), (b"v157..176 +PACEAPI", (157, 176))]
)
def test_the_first_frame_offers_versions(greeting, offers):
    assert versions_of(greeting) == offers


def test_a_first_frame_without_versions_is_malformed():
    with pytest.raises(Malformed, match="v157"):
        versions_of(b"71\x002\x001\0")


def test_a_message_that_ends_too_early_names_its_request():
    with pytest.raises(Malformed, match="message 7: the message ends after 4 fields") as caught:
        request_of(["7", "3", "42", "0"])
    assert caught.value.request_id == 42


def test_a_number_that_is_none_names_its_request():
    fields = list(PlaceOrder(order_id=7, contract=_stock(), action="BUY", total_quantity=Decimal(1)).fields())
    fields[fields.index("BUY") + 1] = "nan"
    with pytest.raises(Malformed, match="'nan' is not a number") as caught:
        request_of(fields)
    assert caught.value.request_id == 7


def test_a_request_that_is_not_offered_keeps_its_id():
    assert request_of(["65", "1", "9"]) == NotOffered(message=65, request_id=9)
    assert request_of(["80"]) == NotOffered(message=80, request_id=-1)


@pytest.mark.parametrize("text", ["1e12", "-1e12", "1e-12", "inf", "1_0x", "0." + "1" * 50])
def test_a_number_that_no_price_or_quantity_can_be_is_none(text):
    assert read_number("999999999999.99") == Decimal("999999999999.99")
    with pytest.raises(Malformed, match="not a number"):
        read_number(text)


def test_nothing_and_the_largest_double_both_mean_no_value():
    order = PlaceOrder(order_id=7, contract=_stock(), action="BUY", total_quantity=Decimal(1), order_type="MKT")
    fields = list(order.fields())
    place = fields.index("MKT") + 1
    for spelling in ("", "1.7976931348623157e+308", "1.7976931348623157E308"):
        fields[place] = spelling
        assert request_of(fields) == order


def test_what_a_newer_client_appends_is_left_unread():
    assert request_of([*CancelOrder(order_id=3).fields(), "new", "newer"]) == CancelOrder(order_id=3)
    assert request_of(list(ReqPositions().fields())) == ReqPositions()
    assert isinstance(request_of(list(ReqExecutions(req_id=1).fields())), ReqExecutions)


@given(NUMBERS)
def test_a_price_keeps_its_value_through_its_spelling(number):
    [text] = itertools.islice(tws_replies.TickSize(req_id=0, tick=0, size=number).fields(), 4, None)
    assert "e" not in text.lower()
    assert read_number(text) == number


def _stock():
    return ContractAsked(symbol="AAPL", sec_type="STK")

"""What arrives at the TWS side and is not the protocol: it ends its own connection, with a word where there is one."""

import asyncio
import struct
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tbot_bot.core.instants import SECOND
from tbot_bot.sandbox.tws_contracts import ContractAsked
from tbot_bot.sandbox.tws_frames import GREETING, fields_of, frame, frame_of
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_requests import ReqContractDetails, ReqCurrentTime, StartApi
from tests.sandbox.tws_kit import Floor

VERSIONS = frame(b"v157..178")
START = frame_of(StartApi(client_id=1).fields())
TIME = frame_of(ReqCurrentTime().fields())


class Line:
    """A bare socket to the gateway."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, floor):
        return cls(*await asyncio.open_connection("127.0.0.1", floor.server.port))

    async def frames(self, *, closed=True):
        """Return what came until the gateway closed the line, or until it was silent for a moment."""
        found = []
        try:
            async with asyncio.timeout(2 if closed else 0.2):
                while True:
                    [length] = struct.unpack(">I", await self.reader.readexactly(4))
                    found.append(fields_of(await self.reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionResetError):
            assert closed, "the gateway closed the line"
        except TimeoutError:
            assert not closed, "the gateway kept the line"
        finally:
            self.writer.close()
        return found


async def said(floor, data, *, closed=True):
    line = await Line.to(floor)
    line.writer.write(data)
    return await line.frames(closed=closed)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not begin with API"),
        (GREETING + frame(b"hello"), "does not offer versions"),
        (GREETING + VERSIONS + b"\0\0\0\0", "a frame of 0 bytes"),
        (GREETING + VERSIONS + b"\x7f\xff\xff\xff", "a frame of 2147483647 bytes"),
        (GREETING + VERSIONS + START + frame(b"49"), "does not end with NUL"),
        (GREETING + VERSIONS + START + frame(b"\xff\xfe\0"), "not UTF-8"),
        (GREETING + VERSIONS + START + frame_of(["9", "8", "5"]), "message 9: the message ends after 3 fields"),
        (GREETING + VERSIONS + START + frame_of(["x"]), "is not a whole number"),
    ],
)
async def test_a_malformed_stream_ends_with_the_reason_and_leaves_others_alone(data, words):
    async with Floor() as floor:
        ib = await floor.connect(7)
        told = await said(floor, data)
        assert told[-1][:2] == ("4", "2")
        assert told[-1][3] == "320"
        assert words in told[-1][4]
        assert await ib.reqCurrentTimeAsync()


async def test_a_request_that_is_cut_short_is_named_in_the_answer():
    async with Floor() as floor:
        asked = list(ReqContractDetails(req_id=5, contract=ContractAsked(symbol="SYN01")).fields())
        told = await said(floor, GREETING + VERSIONS + START + frame_of(asked[:9]))
        assert told[-1][2] == "5"


async def test_a_client_of_other_versions_is_let_go_without_a_word():
    async with Floor() as floor:
        assert await said(floor, GREETING + frame(b"v100..150")) == []
        assert await said(floor, GREETING + frame(b"v201..210")) == []


async def test_nothing_is_served_before_the_client_has_said_its_name():
    async with Floor() as floor:
        [hello, refusal] = await said(floor, GREETING + VERSIONS + TIME, closed=False)
        assert hello[0] == "176"
        assert refusal[3:5] == ("504", "Not connected")


async def test_a_message_that_the_sandbox_does_not_know_is_refused_and_the_line_kept():
    async with Floor() as floor:
        told = await said(floor, GREETING + VERSIONS + START + frame_of(["22", "9"]) + TIME, closed=False)
        assert ("4", "2", "9", "321") in [one[:4] for one in told]
        assert told[-1][0] == "49"


async def test_a_frame_may_come_byte_by_byte():
    async with Floor() as floor:
        line = await Line.to(floor)
        for byte in GREETING + VERSIONS + START + TIME:
            line.writer.write(bytes([byte]))
            await line.writer.drain()
        assert (await line.frames(closed=False))[-1][0] == "49"


@pytest.mark.parametrize("kind", ["LMT", "STP", "TRAIL"])
async def test_an_absurd_order_is_refused_and_ends_nothing(kind):
    async with Floor() as floor:
        contract = ContractAsked(symbol="SYN01", sec_type="STK", exchange="SMART")
        order = PlaceOrder(
            order_id=1,
            contract=contract,
            action="BUY",
            total_quantity=Decimal("1e11"),
            order_type=kind,
            limit_price=Decimal("99999999999.99"),
            aux_price=Decimal("99999999999.99"),
        )
        frames = [frame_of(replace(order, what_if=what_if).fields()) for what_if in (True, False)]
        told = await said(floor, GREETING + VERSIONS + START + b"".join(frames) + TIME, closed=False)
        assert ("4", "2", "1", "201") in [one[:4] for one in told]
        assert told[-1][0] == "49"


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=40).map(frame),
            st.lists(st.one_of(st.integers(0, 110).map(str), st.sampled_from(["", "BUY", "SYN01", "STK", "-1"])))
            .filter(bool)
            .map(frame_of),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_frames_keep_the_gateway_from_serving_the_next_client(frames):
    async def play():
        async with Floor() as floor:
            line = await Line.to(floor)
            line.writer.write(GREETING + VERSIONS + START + b"".join(frames))
            line.writer.write_eof()
            await asyncio.wait_for(line.reader.read(), 5)
            line.writer.close()
            following = await Line.to(floor)
            following.writer.write(GREETING + VERSIONS + frame_of(StartApi(client_id=2).fields()) + TIME)
            answer = frame_of(["49", "1", str(floor.exchange.now() // SECOND)])
            await asyncio.wait_for(following.reader.readuntil(answer), 5)
            following.writer.close()

    asyncio.run(play())

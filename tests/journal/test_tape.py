"""The tape gives back each bar bit for bit, and ends quietly where a crash tore it."""

import math
import resource
import signal
import struct
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.bars import Bar
from tbot_bot.core.codec import dumps
from tbot_bot.core.events import BarsClosed, MarketOver
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.session_log import read_session
from tbot_bot.journal.store import Entry, Journal, JournalWriteFailed, Kind
from tbot_bot.journal.tape import TapeReader, TapeWriter, tape_path

SESSION = SessionId(day=date(2025, 9, 2), strategy=StrategyName.OPEN)
NAME = str(SESSION)
INT64 = st.integers(-(2**63), 2**63 - 1)
BARS = st.builds(Bar, st.text("ABC.\u00e9", min_size=1, max_size=3), INT64, INT64, *[st.floats()] * 5)


def bits(event):
    number, at, bars, backfill = event
    return number, at, [(*bar[:3], struct.pack("<5d", *bar[3:])) for bar in bars], backfill


def grid(number, symbols=("SPY", "QQQ", "IWM")):
    return tuple(
        Bar(symbol, number * 60, number * 60 + 60, 1.1 * k, 2.2, 0.1, math.pi, 1000.0 + number)
        for k, symbol in enumerate(symbols)
    )


def write(path, numbers):
    with TapeWriter(path, NAME) as tape:
        for number in numbers:
            tape.append(number, number * 60, grid(number))
    return tape.digest()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(INT64, st.lists(BARS, max_size=5), st.booleans()), max_size=8), st.integers(0, 8))
def test_bars_come_back_bit_for_bit_also_over_a_reopening(steps, reopened):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tape"
        tape = TapeWriter(path, NAME)
        for number, (at, bars, backfill) in enumerate(steps, 1):
            if number == reopened:
                tape.close()
                tape = TapeWriter(path, NAME)
            tape.append(number, at, tuple(bars), backfill=backfill)
        tape.close()
        reader = TapeReader(path)
        found = [bits(event) for event in reader]
        assert found == [bits((n, at, bars, late)) for n, (at, bars, late) in enumerate(steps, 1)]
        assert (reader.digest(), reader.dropped_bytes, reader.session) == (tape.digest(), 0, NAME)


def test_a_torn_tail_is_dropped_at_every_offset_and_cut_off_before_writing_on(tmp_path):
    path = tmp_path / "a.tape"
    write(path, [1, 2, 3])
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        for filler in (b"", b"\0" * 40):
            path.write_bytes(whole[:size] + filler)
            reader = TapeReader(path)
            found = [event.number for event in reader]
            assert reader.whole_bytes + reader.dropped_bytes == size + len(filler)
            with TapeWriter(path, NAME) as tape:
                assert tape.dropped_bytes == reader.dropped_bytes
                tape.append(9, 0, grid(9, ("SPY", "NEW")))
            again = TapeReader(path)
            assert [event.number for event in again] == [*found, 9]
            assert again.digest() == tape.digest()


def test_damage_before_the_end_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "a.tape"
    write(path, [1, 2, 3])
    whole = path.read_bytes()
    for at in range(len(whole) // 2):
        broken = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        path.write_bytes(broken)
        with pytest.raises(JournalError):
            list(TapeReader(path))
        with pytest.raises(JournalError):
            TapeWriter(path, NAME)
        assert path.read_bytes() == broken


def test_foreign_files_missing_files_and_other_sessions_are_refused(tmp_path):
    path = tmp_path / "a.tape"
    with pytest.raises(JournalError, match="missing"):
        list(TapeReader(path))
    path.write_bytes(b"timestamp,symbol\n")
    with pytest.raises(JournalError, match="not a tape"):
        TapeWriter(path, NAME)
    path.unlink()
    write(path, [1])
    with pytest.raises(JournalError, match="tape of 2025-09-02/open"):
        TapeWriter(path, "2025-09-02/mid")


def test_numbers_grow_and_bad_bars_leave_the_tape_as_it_was(tmp_path):
    path = tmp_path / "a.tape"
    with TapeWriter(path, NAME) as tape:
        tape.append(1, 0, grid(1))
        with pytest.raises(JournalError, match="input 1 after input 1"):
            tape.append(1, 0, ())
        for bad in (grid(2, ("A\nB",)), (Bar("NEW", 1 << 70, 0, 1.0, 1.0, 1.0, 1.0, 1.0),)):
            with pytest.raises(JournalError, match="cannot be stored"):
                tape.append(2, 0, bad)
        tape.append(2, 0, grid(2, ("NEW", "SPY")))
    assert [event.bars for event in TapeReader(path)] == [grid(1), grid(2, ("NEW", "SPY"))]


def test_a_full_disk_keeps_the_frames_for_the_next_sync(tmp_path):
    path = tmp_path / "a.tape"
    tape = TapeWriter(path, NAME)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = path.stat().st_size
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
        tape.append(1, 0, grid(1))
        with pytest.raises(JournalWriteFailed):
            tape.sync()
        assert path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    tape.close()
    assert [event.number for event in TapeReader(path)] == [1]


def session_of(tmp_path, rows, frames):
    journal = Journal.open(tmp_path / "tbot_paper.sqlite3", Mode.PAPER)
    journal.append(
        [
            Entry(at=0, recorded_at=0, kind=kind, payload=payload, session=NAME, input_number=number)
            for kind, number, payload in rows
        ]
    )
    with TapeWriter(tape_path(tmp_path, Mode.PAPER, SESSION), NAME) as tape:
        for number in frames:
            tape.append(number, number * 60, grid(number))
    return read_session(journal, tmp_path, SESSION)


def test_a_session_is_rows_and_tape_in_the_order_of_their_numbers(tmp_path):
    over = dumps(MarketOver(at=Instant(5)))
    rows = [
        (Kind.SESSION, 0, '{"_":"Spec"}'), (Kind.INPUT, 2, over), (Kind.COMMAND, 1, "c1"), (Kind.COMMAND, 3, "c3")
    ]  # fmt: skip
    found = session_of(tmp_path, rows, [1, 3])
    assert found.spec_payload == '{"_":"Spec"}'
    assert found.commands == {1: ("c1",), 3: ("c3",)}
    assert list(found.inputs) == [
        (1, BarsClosed(at=Instant(60), bars=grid(1))),
        (2, MarketOver(at=Instant(5))),
        (3, BarsClosed(at=Instant(180), bars=grid(3))),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "frames", "words"),
    [
        ([3], [1], "input 2 is missing"),
        ([2], [1, 2], "input 2 is there twice"),
        ([1], [], "input 2 is missing, though"),
    ],
)
def test_a_session_with_a_hole_is_refused(tmp_path, rows, frames, words):
    over = dumps(MarketOver(at=Instant(5)))
    found = session_of(tmp_path, [*((Kind.INPUT, n, over) for n in rows), (Kind.COMMAND, 2, "{}")], frames)
    with pytest.raises(JournalError, match=words):
        list(found.inputs)


def test_an_unknown_session_is_told_with_the_known_ones(tmp_path):
    unknown = SessionId(day=SESSION.day, strategy=StrategyName.MID)
    with Journal.open(tmp_path / "j", Mode.PAPER) as journal:
        journal.append([Entry(at=0, recorded_at=0, kind=Kind.NOTE, payload="{}", session=NAME)])
        with pytest.raises(JournalError, match="2025-09-02/open"):
            read_session(journal, tmp_path, unknown)

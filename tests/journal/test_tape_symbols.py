"""Symbols of a tape: frames of changing symbols come back with the right names."""

from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.bars import Bar
from tbot_bot.journal.tape import TapeReader, TapeWriter

NAMES = st.lists(st.sampled_from([f"S{number}" for number in range(12)]), max_size=8)


def bar(symbol, number):
    return Bar(symbol, number, number + 1, 1.0, 2.0, 0.5, 1.5, 100.0)


@given(frames=st.lists(NAMES, min_size=1, max_size=12))
def test_frames_of_changing_symbols_read_back_as_written(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("tape") / "day.tape"
    told = [(number, number, tuple(bar(name, number) for name in names)) for number, names in enumerate(frames, 1)]
    with TapeWriter(path, "2025-09-02/open") as writer:
        for number, at, bars in told:
            writer.append(number, at, bars)

    assert [(number, at, bars) for number, at, bars, _ in TapeReader(path)] == told

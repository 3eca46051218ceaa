"""Changing one variable in a file's text: it says the new value, and nothing else has moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.envfile import parse, quoted
from tbot_bot.config.settings_edit import with_value
from tbot_bot.config.templates import templates

NAMES = ["MAX_TRADES", "MAX_TRADES_PER_DAY", "WEIGHTS", "A"]
VALUES = st.text(max_size=12).filter(str.isprintable)
COMMENTS = st.sampled_from(["", " # a note", "   # MAX_TRADES=9", " #"])
LINES = st.one_of(
    st.sampled_from(["", "# WEIGHTS=1", "   ", "#"]),
    st.builds(
        lambda indent, name, space, value, comment: f"{indent}{name} ={space}{quoted(value)}{comment}",
        st.sampled_from(["", "  "]),
        st.sampled_from(NAMES),
        st.sampled_from(["", " "]),
        VALUES,
        COMMENTS,
    ),
)


@given(lines=st.lists(LINES, max_size=6), end=st.sampled_from(["", "\n"]), name=st.sampled_from(NAMES), value=VALUES)
def test_the_new_value_is_read_back_and_all_else_stays(lines, end, name, value):
    text = ("\n".join(lines) + end).encode()
    before = parse(text, "f")
    if before.problems:
        return

    changed = with_value(text, name, value)
    after = parse(changed, "f")

    # quoting keeps spaces at the ends; reading takes nothing off a quoted value
    expected = {entry.name: entry.value for entry in before.entries} | {name: value}
    assert after.problems == ()
    assert {entry.name: entry.value for entry in after.entries} == expected
    old, new = text.split(b"\n"), changed.split(b"\n")
    differing = [number for number, line in enumerate(old[: len(new)]) if line != new[number]]
    assert len(differing) <= 1


@given(lines=st.lists(LINES, max_size=6), name=st.sampled_from(NAMES), value=VALUES)
def test_setting_the_same_value_twice_changes_nothing_more(lines, name, value):
    once = with_value("\n".join(lines).encode(), name, value)

    assert with_value(once, name, value) == once


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MAX_TRADES=4  # number; default 4", "MAX_TRADES=2  # number; default 4"),
        ("  MAX_TRADES = '4'   # was 5", "  MAX_TRADES= 2   # was 5"),
        ('MAX_TRADES="4 # not a comment" # one', "MAX_TRADES=2 # one"),
        ("MAX_TRADES=  # none yet", "MAX_TRADES=2  # none yet"),
        ("MAX_TRADES=4#5", "MAX_TRADES=2"),
    ],
)
def test_the_comment_behind_the_value_stays(line, expected):
    assert with_value(f"{line}\nWEIGHTS=1\n".encode(), "MAX_TRADES", "2") == f"{expected}\nWEIGHTS=1\n".encode()


def test_an_older_name_becomes_the_present_one():
    changed = with_value(b"ENV_BOT_KEY=a # key\n", "ENCRYPTION_KEY", "b", ["ENV_BOT_KEY"])

    assert changed == b"ENCRYPTION_KEY=b # key\n"


def test_a_value_that_no_line_can_hold_is_refused():
    with pytest.raises(ValueError, match="control and invisible"):
        with_value(b"", "WEIGHTS", "1\nTEST_MODE=false")


def test_each_variable_of_the_templates_can_be_set_back_to_what_it_is():
    for text in templates().values():
        for entry in parse(text.encode(), "f").entries:
            assert parse(with_value(text.encode(), entry.name, entry.value), "f") == parse(text.encode(), "f")

"""How a `NAME=value` file is read, whatever is in it."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.envfile import SIZE_MAX, parse, quoted, read_file


def values(text: str) -> dict[str, str]:
    parsed = parse(text.encode(), "file")

    assert parsed.problems == ()
    return {entry.name: entry.value for entry in parsed.entries}


def complaints(data: bytes) -> list[str]:
    return [str(problem) for problem in parse(data, "file").problems]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  A = 1  ", "1"),
        ("SHORT= InverseETF   # note".replace("SHORT", "A"), "InverseETF"),
        ("A=", ""),
        ("A=   # only a comment", ""),
        ("A=x#y", "x#y"),
        ("A=a=b", "a=b"),
        ("A='x # y'  # note", "x # y"),
        ('A="say \\"x\\" \\\\ \\n"', 'say "x" \\ \\n'),
        ("A=it's", "it's"),
        ("A=''", ""),
    ],
)
def test_a_line_means_what_it_looks_like(line, value):
    assert values(line) == {"A": value}


def test_comments_and_blank_lines_are_passed_over_and_lines_counted():
    parsed = parse(b"# head\n\nA=1\n   # more\nB=2", "file")

    assert [(entry.name, entry.line) for entry in parsed.entries] == [("A", 3), ("B", 5)]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"A=1\nA=2\n", ["file:2: A: expected each variable once", "line 1"]),
        (b"\xef\xbb\xbfA=1\n", ["file:1:", "byte order mark"]),
        (b"\xff\xfeA\x00", ["file:1:", "UTF-16"]),
        (b"X=1\nA=1\r\n", ["file:2:", "LF alone", "sed -i"]),
        (b"A=1\nB=1\r2\n", ["file:2:", "control characters"]),
        (b"A=\t1\n", ["file:1:", "tab"]),
        (b"A=1\nB=\xff\n", ["file:2:", "UTF-8", "0xff"]),
        (b"A=1\nB=\x00\n", ["file:2:", "NUL"]),
        (b"\nnonsense\n", ["file:2:", "NAME=value"]),
        (b"export A=1\n", ["file:1:", "export"]),
        (b"A B=1\n", ["file:1:", "a name of letters"]),
        (b"A='x\n", ["file:1: A:", "a closing '"]),
        (b'A="x" y\n', ["file:1: A:", "after the closing quote"]),
        (b"A=#x\n", ["file:1: A:", "space before the comment"]),
        ("A=1\u00a0\n".encode(), ["file:1:", "U+00A0 (NO-BREAK SPACE)"]),
        ("A=x\u200b\n".encode(), ["file:1:", "U+200B (ZERO WIDTH SPACE)"]),
        ("\nA=x\u202e1\n".encode(), ["file:2:", "U+202E (RIGHT-TO-LEFT OVERRIDE)"]),
        ("M\u0410X=1\n".encode(), ["file:1:", "U+0410 (CYRILLIC CAPITAL LETTER A) is not one of them"]),
        ("A=\u201cx\u201d\n".encode(), ["file:1: A:", "a straight quote", "U+201C (LEFT DOUBLE QUOTATION MARK)"]),
        ("A\uff1d1\n".encode(), ["file:1:", "NAME=value"]),
    ],
)
def test_what_is_odd_is_said_with_its_line(data, says):
    text = "\n".join(complaints(data))

    assert all(part in text for part in says), text


def test_all_that_is_odd_is_said_and_the_rest_is_read():
    parsed = parse(b"A=1\nnonsense\nB=\t2\nC=\xff\nD=4\nA=5\n", "file")

    assert [entry.name for entry in parsed.entries] == ["A", "D"]
    assert [problem.line for problem in parsed.problems] == [2, 3, 4, 6]


def test_a_malformed_line_is_not_repeated_for_it_may_hold_a_secret():
    assert "hunter2" not in "".join(complaints(b"MY PASSWORD IS hunter2\nKEY='hunter2\nA=1\nA=hunter2"))


def test_crlf_is_one_complaint_however_many_lines():
    assert len(complaints(b"A=1\r\nB=2\r\nC=3\r\n")) == 1


def problem_with(path) -> str:
    parsed = read_file(path, path.name)

    assert parsed.entries == ()
    return str(parsed.problems[0])


def test_a_file_that_cannot_be_read_is_a_problem_and_no_exception(tmp_path):
    loop, folder, pipe, large = (tmp_path / name for name in ("loop", "folder", "pipe", "large"))
    loop.symlink_to(loop)
    folder.mkdir()
    os.mkfifo(pipe)
    large.write_bytes(b"#" * (SIZE_MAX + 1))

    assert "circle" in problem_with(loop)
    assert "not a directory" in problem_with(folder)
    assert "pipe" in problem_with(pipe)
    assert "at most" in problem_with(large)
    assert "to exist" in problem_with(tmp_path / "absent")
    assert "to exist" in problem_with(large / "below")


@pytest.mark.parametrize(("number", "says"), [(errno.EACCES, "may read"), (errno.EIO, "check the disk")])
def test_a_file_that_the_system_withholds_is_a_problem(tmp_path, monkeypatch, number, says):
    def withhold(*_args, **_options):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "secret"
    path.write_text("A=1")
    monkeypatch.setattr(os, "open", withhold)  # root may read everything, so rights alone prove nothing

    assert says in problem_with(path)


@given(st.binary(max_size=300))
def test_any_bytes_give_entries_and_problems_with_their_lines(data):
    parsed = parse(data, "file")

    assert all(1 <= problem.line <= data.count(b"\n") + 1 for problem in parsed.problems)
    assert all(str(problem).startswith(f"file:{problem.line}: ") for problem in parsed.problems)
    assert len({entry.name for entry in parsed.entries}) == len(parsed.entries)


@given(st.lists(st.sampled_from(["A", "B", "=", " ", "'", '"', "#", "\\", "\n", "\t", "\r", "é", "\x00"])).map("".join))
def test_any_mixture_of_what_the_grammar_knows_is_read_without_an_exception(text):
    parsed = parse(text.encode(), "file")

    assert all("\n" not in str(problem) for problem in parsed.problems)


@given(st.text(st.characters().filter(str.isprintable) | st.sampled_from(" #'\"\\\u201c"), max_size=40))
def test_what_is_written_is_read_back(value):
    assert values(f"A={quoted(value)}  # note") == {"A": value}


@pytest.mark.parametrize("value", ["a\nb", "a\x85b", "a\u00a0b", "a\u202eb", "\ufeff"])
def test_what_cannot_be_seen_cannot_be_written(value):
    with pytest.raises(ValueError, match="invisible"):
        quoted(value)

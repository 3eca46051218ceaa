"""What the documents say is so: commands parse, links lead somewhere, tables equal the code."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tbot_bot.enhancements.filters import FILTERS
from tbot_bot.trading.risk_bot import RULES

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = tuple(
    sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")], key=lambda path: path.as_posix())
)
COMMAND_PAGES = ("README.md", "docs/operators-guide.md")

EXISTS = ("here", "merged", "renamed")
COMES = re.compile(r"issue \d+|later")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
PICTOGRAPHS = re.compile("[\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def table_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every table row, heads and rules left out; back ticks are taken off."""
    lines = text.split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_rule_or_head = re.match(r"\| *---", line) or re.match(r"\| *---", following)
        if line.startswith("|") and not is_rule_or_head:
            yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def section(text: str, heading: str) -> str:
    """Return what stands under `## heading`."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"no section {heading!r}"
    return rest.partition("\n## ")[0]


def commands() -> list[tuple[str, list[str]]]:
    """Return every line of the `sh` blocks that a user is told to type, as words, with its page."""
    found = []
    for page in COMMAND_PAGES:
        for language, block in FENCE.findall(text_of(page)):
            lines = [line for line in block.split("\n") if line.strip()] if language == "sh" else []
            found += [(page, shlex.split(line, comments=True)) for line in lines]
    return [(page, words) for page, words in found if words]


def tbot_commands() -> list[tuple[str, list[str]]]:
    return [(page, words[1:]) for page, words in commands() if words[0].rpartition("/")[2] == "tbot"]


@pytest.fixture
def refused(monkeypatch, capsys):
    """Return how the program refuses words, empty where it takes them: asked for help, it only reads them."""

    def ask(words):
        from tbot_bot.runtime.cli import main  # noqa: PLC0415 - the other tests do not need a whole program

        monkeypatch.setattr(sys, "argv", ["tbot", *words, "--help"])
        status: str | int | None
        try:
            status = main()
        except SystemExit as ended:
            status = ended.code
        told = capsys.readouterr()
        if status in {0, None}:
            assert "--help" in told.out, "neither help nor a refusal"
            return ""
        return told.err or f"exit status {status}"

    return ask


@pytest.mark.parametrize(("page", "words"), tbot_commands(), ids=str)
def test_each_documented_command_is_one_the_program_takes(refused, page, words):
    assert refused(words) == "", f"{page}: tbot {shlex.join(words)}"


@pytest.mark.parametrize("words", [["no-such-command"], ["schedule", "--no-such-option"], ["journal", "no-such-part"]])
def test_a_command_that_does_not_exist_would_be_found(refused, words):
    assert "o such" in refused(words)


def test_each_page_with_commands_has_some():
    assert {page for page, _ in commands()} == set(COMMAND_PAGES)
    assert len(tbot_commands()) > len(COMMAND_PAGES)


def test_each_documented_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    told = {words[1] for _, words in commands() if words[0] == "make"}
    told |= {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)`", page.read_text(encoding="utf-8"))}
    assert {"run", "test"} <= told
    assert told - targets == set()


MODULES = [words[2:] for _, words in commands() if words[:2] == ["python", "-m"]]


@pytest.mark.parametrize("words", MODULES, ids=shlex.join)
def test_each_documented_module_takes_its_words(words):
    asked = [sys.executable, "-m", *words, "--help"]
    ended = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "usage" in ended.stdout


def test_a_page_uses_no_program_that_is_not_looked_at():
    assert {words[0].rpartition("/")[2] for _, words in commands()} <= {
        "make",
        "tbot",
        "python",
        "cp",
        "chmod",
        "echo",
        "git",
        "cd",
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_that_exist(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [link.partition("#")[0] for link in LINK.findall(text) if not link.startswith(("http", "#"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_each_page_of_the_docs_is_linked_from_somewhere():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    decisions = REPOSITORY / "docs" / "decisions"
    assert decisions in linked
    docs = {page for page in PAGES if page.is_relative_to(REPOSITORY / "docs") and page.parent != decisions}
    assert docs - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_has_pictographs_or_wide_lines(page):
    text = page.read_text(encoding="utf-8")
    assert PICTOGRAPHS.search(text) is None
    prose = [line for line in FENCE.sub("", text).split("\n") if not line.startswith("|")]
    assert [line for line in prose if len(line) > 120] == []


def test_the_table_of_checks_is_the_list_in_the_code():
    told = [row[0] for row in table_rows(section(text_of("docs/pre-trade-checks.md"), "Checks, in asking order"))]
    assert told == [code for code, _ in RULES]


def test_what_regulators_ask_for_names_checks_that_there_are_and_leaves_none_out():
    named = set(re.findall(r"`([a-z_]+)`", text_of("docs/market-access-controls.md")))
    codes = {code for code, _ in RULES}
    elsewhere = {"session_phase", "broker_halted", "master_switch"}  # our own order of work, nobody asks for it
    assert named - codes == set()
    assert codes - named - elsewhere == set()


def test_the_table_of_filters_is_the_list_in_the_code():
    told = [(row[0], row[3].replace(" ", "_")) for row in filter_rows()]
    assert told == [(name.value, rule.on_missing.value) for name, rule in FILTERS.items()]


def test_the_table_of_filters_says_which_sessions_ask_and_what_test_mode_skips():
    for row, rule in zip(filter_rows(), FILTERS.values(), strict=True):
        sessions = ", ".join(strategy.value.upper() for strategy in rule.applies_to)
        assert row[1] == (f"{sessions} at IBKR" if rule.ibkr_only else sessions), row[0]
        assert ("skipped in test mode" in row[2]) == rule.skipped_in_test_mode, row[0]


def filter_rows() -> list[list[str]]:
    return list(table_rows(section(text_of("docs/pre-trade-checks.md"), "Filters")))


def test_each_setting_that_a_page_names_exists():
    known = set(re.findall(r"^([A-Z][A-Z0-9_]+)=", text_of(".env_bot.template-test"), re.MULTILINE))
    settings = {
        name
        for row in [*table_rows(text_of("docs/pre-trade-checks.md"))]
        for name in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b(?!\*)", row[-1])
        if not name.endswith("_")
    }
    assert settings
    assert settings - known == set()


def map_rows() -> list[list[str]]:
    return list(table_rows(text_of("docs/build-document-map.md")))


@pytest.mark.parametrize("row", map_rows(), ids=lambda row: row[0])
def test_the_build_document_map_is_true(row):
    there, state, path, *_ = row
    exists = (REPOSITORY / path).exists()
    if state in EXISTS:
        assert exists, f"{there}: {path} is called {state!r} and does not exist"
    else:
        assert COMES.fullmatch(state), f"{there}: {state!r} is no state"
        assert not exists, f"{there}: {path} exists, the map still says {state!r}"


def test_the_build_document_map_names_other_paths_that_exist():
    named = re.findall(r"`((?:tbot_bot|tests|tools|docs)/[\w./-]+)`", "\n".join(row[3] for row in map_rows()))
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_the_code_map_names_each_room_and_files_that_exist():
    rows = list(table_rows(section(text_of("docs/architecture.md"), "Code map")))
    rooms = {path.parent.name for path in (REPOSITORY / "tbot_bot").glob("*/__init__.py")}
    assert {row[0].strip("/").rpartition("/")[2] for row in rows} == rooms
    named = [(row[0], file) for row in rows for file in re.findall(r"\w+\.py", row[2])]
    assert [(room, file) for room, file in named if not (REPOSITORY / room / file).is_file()] == []


def test_decisions_are_numbered_without_gaps_and_say_the_four_things():
    pages = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:3]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:3]}: "), page.name
        said = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert said == ["Context", "Choice", "Alternatives", "Consequence"], page.name


def shape_of(line: str) -> str:
    """Return `line` with every number alike: figures depend on how fast the machine is, the form does not."""
    return " ".join(re.sub(r"[+-]?\d[\d.,]*", "0", re.sub("\u2500+", "-", line)).split())


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_make_run_prints_what_the_readme_shows(tmp_path):
    shown = next(block for language, block in FENCE.findall(text_of("README.md")) if language == "text")
    program = "from tbot_bot.runtime.cli import main; raise SystemExit(main())"
    (words,) = re.findall(r"^RUN_COMMAND := \$\(BIN\)/tbot (.*)$", text_of("Makefile"), re.MULTILINE)
    ended = subprocess.run(
        [sys.executable, "-c", program, *words.split()],
        env={**os.environ, "TBOT_HOME": str(tmp_path), "COLUMNS": "110"},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [shape_of(line) for line in ended.stdout.split("\n")]
    assert [line for line in shown.split("\n") if line != "[...]" and shape_of(line) not in printed] == []

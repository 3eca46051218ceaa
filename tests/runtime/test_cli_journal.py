"""Looking into the journal and writing it out again: what a person reads, and that the bytes are always the same."""

import json
import shutil
from datetime import UTC, datetime

import pytest

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import parse_iso
from tbot_bot.journal.chain import Kind, hash_of
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.cli import main
from tests.support.rehearsal import SENSITIVE, random_walks, write_csv

DAY = "2025-09-03"
LATER = "2025-09-04"


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Return an installation with two days that traded."""
    folder = tmp_path_factory.mktemp("traded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TBOT_HOME", str(folder))
        settings = [word for name, value in SENSITIVE.items() for word in ("--set", f"{name}={value}")]
        for seed, day in enumerate((DAY, LATER), start=1):
            bell = datetime.fromisoformat(f"{day}T13:30:00").replace(tzinfo=UTC)
            data = write_csv(folder / f"{day}.csv", random_walks(seed, symbols=3), bell)
            assert main(["dry-run", "--data", str(data), "--day", day, *settings]) == 0
    return folder


@pytest.fixture
def home(traded, tmp_path, monkeypatch):
    """Return a copy that a test may damage."""
    copy = tmp_path / "home"
    shutil.copytree(traded, copy)
    monkeypatch.setenv("TBOT_HOME", str(copy))
    return copy


@pytest.fixture
def tbot(home, capsys):
    """Return what runs a command and gives its status, what it printed and what it complained of."""

    def run(*words):
        capsys.readouterr()
        status = main(list(words))
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return status, told.out, told.err

    return run


def files_of(home):
    paths = records_for(home, Mode.PAPER, test_mode=True).for_people()
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def test_rows_are_shown_by_number_session_and_kind(tbot):
    status, out, _ = tbot("journal", "show", "1-3")
    assert status == 0
    assert [line.split()[1] for line in out.splitlines() if line.startswith("row ")] == ["1", "2", "3"]
    assert "\n    session SessionId" not in out.partition("row 2")[0]
    _, one, _ = tbot("journal", "show", "2", "--json")
    assert [row["seq"] for row in json.loads(one)["rows"]] == [2]
    _, kinds, _ = tbot("journal", "show", "--session", f"{LATER}/mid", "--kind", "command", "--json")
    assert {(row["session"], row["kind"]) for row in json.loads(kinds)["rows"]} == {(f"{LATER}/mid", "command")}


def test_a_shown_row_spells_out_instants_and_nested_records(tbot):
    _, out, _ = tbot("journal", "show", "--session", f"{DAY}/open", "--kind", "session")
    assert "  SessionSpec" in out
    assert f"bell: {DAY}T13:30:00Z" in out
    assert "- BrokerSpec" in out
    assert "stop_fraction: 0.02" in out


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 2, "say which rows"),
        (["0"], 2, "names no rows; write 17, 17-40, or 17- for all from 17 on"),
        (["9-3"], 2, "names no rows"),
        (["--kind", "bars"], 2, "there are input, command, session"),
        (["--session", "today"], 2, "is not a session; write it as 2025-09-02/open"),
        (["999999-"], 1, "no such rows in it. It has the rows 1 to "),
        (["--session", "2001-01-02/open"], 1, "no such rows"),
    ],
)
def test_rows_that_are_not_there_are_refused_in_words(tbot, words, status, says):
    ended, out, err = tbot("journal", "show", *words)
    assert (ended, out) == (status, "")
    assert says in err


def test_an_export_finds_every_file_as_it_was_left(home, tbot):
    before = files_of(home)
    status, out, _ = tbot("journal", "export")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} == {"unchanged"}
    assert files_of(home) == before


def test_deleted_and_damaged_files_come_back_byte_for_byte(home, tbot):
    before = files_of(home)
    paths = records_for(home, Mode.PAPER, test_mode=True).for_people()
    paths[0].unlink()
    paths[3].write_bytes(before[paths[3].name][:-20])
    paths[5].write_text("{}")
    _, out, _ = tbot("journal", "export", "--json")
    changes = {entry["path"]: entry["change"] for entry in json.loads(out)["files"]}
    assert [changes[str(paths[number])] for number in (0, 1, 3, 5)] == ["made", "unchanged", "mended", "mended"]
    assert files_of(home) == before
    shutil.rmtree(home / "output" / "logs")
    shutil.rmtree(home / "output" / "trades")
    assert tbot("journal", "export")[0] == 0
    assert files_of(home) == before


def test_exported_rows_are_the_same_bytes_each_time_and_prove_their_own_hashes(home, tbot):
    first, second = home / "first.jsonl", home / "second.jsonl"
    _, told, _ = tbot("journal", "export", "--out", str(first), "--json")
    assert tbot("journal", "export", "--out", str(second))[0] == 0
    assert first.read_bytes() == second.read_bytes()
    rows = [json.loads(line) for line in first.read_text("utf-8").splitlines()]
    assert json.loads(told)["rows"] == len(rows)
    with open_reader(records_for(home, Mode.PAPER, test_mode=True).journal) as journal:
        assert rows[-1]["hash"] == journal.head().hash.hex()
        payloads = [row.payload for row in journal.rows()]
    for row, payload in zip(rows, payloads, strict=True):
        digest = hash_of(
            seq=row["seq"], at=parse_iso(row["at"]), recorded_at=parse_iso(row["recorded_at"]), session=row["session"],
            input_number=row["input_number"], kind=Kind(row["kind"]), version=row["version"], payload=payload,
            previous_hash=bytes.fromhex(row["previous_hash"]),
        )  # fmt: skip
        assert digest.hex() == row["hash"]
        assert json.dumps(row["payload"], ensure_ascii=False, separators=(",", ":")) == payload, "nothing is lost"


def test_rows_of_a_day_or_a_session_go_to_stdout(tbot):
    _, of_day, _ = tbot("journal", "export", "--day", DAY)
    sessions = {json.loads(line)["session"] for line in of_day.splitlines()}
    assert sessions == {f"{DAY}/open", f"{DAY}/mid", f"{DAY}/close"}
    _, of_session, _ = tbot("journal", "export", "--session", f"{DAY}/mid")
    assert [line for line in of_day.splitlines() if f'"session":"{DAY}/mid"' in line] == of_session.splitlines()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--day", DAY, "--session", f"{DAY}/mid"], 2, "give one of them"),
        (["--day", DAY, "--json"], 2, "JSON lines already"),
        (["--day", "2001-01-02"], 1, "no rows of 2001-01-02"),
        (["--out", "no/such/folder/rows.jsonl"], 1, "no/such/folder: no such folder"),
    ],
)
def test_an_export_that_cannot_be_is_refused_and_leaves_nothing(home, tbot, words, status, says):
    before = files_of(home)
    ended, out, err = tbot("journal", "export", *words)
    assert (ended, out) == (status, "")
    assert says in err
    assert files_of(home) == before
    assert list(home.rglob("*rows.jsonl*")) == []


def test_a_range_is_the_sum_of_its_days(tbot):
    days = [json.loads(tbot("report", "day", day, "--json")[1]) for day in (DAY, LATER)]
    _, out, _ = tbot("report", "range", "2025-09-01", "2025-09-30", "--json")
    told = json.loads(out)
    assert [day["day"] for day in told["days"]] == [DAY, LATER]
    assert float(told["pnl"]) == pytest.approx(sum(float(day["pnl"]) for day in days))
    assert told["trades"] == sum(day["wins"] + day["losses"] + day["flats"] for day in days) > 0
    assert sum(share["trades"] for share in told["by_symbol"]) == told["trades"]
    _, text, _ = tbot("report", "range", DAY, DAY)
    assert LATER not in text
    assert "1 day in the journal" in text


def test_a_range_without_days_says_what_there_is(tbot):
    status, _, err = tbot("report", "range", "2024-01-01", "2024-12-31")
    assert status == 1
    assert f"It holds {DAY} to {LATER}." in err
    assert tbot("report", "range", LATER, DAY)[0] == 2

"""Backup and restore drill of a year of records: `python benchmarks/bench_backup.py [DAYS]` (252 if not said).

One rehearsed day is recorded by the program itself, then told again under the dates that follow: rows, tapes, digests
and chain are those of a real year, its figures those of one day. Peak memory is of the process that does the work.
"""

import bisect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.chain import Row
from tbot_bot.journal.store import Entry, Journal, open_reader
from tbot_bot.journal.tape import TapeReader, TapeWriter
from tbot_bot.reporting.projector import rebuild
from tbot_bot.reporting.report_router import OutputPaths, records_for

FIRST = date(2025, 1, 6)
YEAR = 252
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
ENDED_IN_TIME_SECONDS = 3_600
MEGABYTE = 1 << 20


def weekdays(count: int) -> Iterator[date]:
    day = FIRST
    for _ in range(count):
        yield day
        day += timedelta(days=3 if day.weekday() == 4 else 1)  # noqa: PLR2004 - Friday


def record_a_day(home: Path) -> OutputPaths:
    words = [sys.executable, "-m", "tbot_bot.runtime.cli", "run", "--rehearsal", "--once", "--day", "2025-09-02"]
    words += ["--speed", "3000"]
    subprocess.run(words, env={**os.environ, "TBOT_HOME": str(home)}, check=True, stdout=subprocess.DEVNULL)
    return records_for(home, Mode.PAPER, test_mode=True)


def retape(source: Path, target: Path, session: str) -> list[tuple[int, str]]:
    """Write the tape again for another session; return the digest after each input."""
    with TapeWriter(target, session) as tape:
        for event in TapeReader(source):
            tape.append(event.number, event.at, event.bars, backfill=event.backfill)
    reader = TapeReader(target)
    return [(event.number, reader.digest()) for event in reader]


def digest_at(digests: list[tuple[int, str]], number: int) -> str:
    found = bisect.bisect_right([known for known, _ in digests], number)
    return digests[found - 1][1] if found else ""


def told_again(rows: list[Row], model: OutputPaths, records: OutputPaths, day: date) -> list[Entry]:
    digests: dict[str, list[tuple[int, str]]] = {}
    entries = []
    for row in rows:
        session = row.session.replace("2025-09-02", day.isoformat())
        payload = row.payload.replace("2025-09-02", day.isoformat()).replace("20250902", f"{day:%Y%m%d}")
        if '"tape_digest":"' in payload and '"tape_digest":""' not in payload:
            if session not in digests:
                source, target = model.tape(SessionId.parse(row.session)), records.tape(SessionId.parse(session))
                digests[session] = retape(source, target, session)
            told = json.loads(payload)
            told["tape_digest"] = digest_at(digests[session], row.input_number)
            payload = json.dumps(told, separators=(",", ":"))
        entries.append(
            Entry(at=row.at, recorded_at=row.recorded_at, kind=row.kind, payload=payload, session=session,
                  input_number=row.input_number, version=row.version)
        )  # fmt: skip
    return entries


def make_a_year(home: Path, model: OutputPaths, days: int) -> OutputPaths:
    records = records_for(home, Mode.PAPER, test_mode=True)
    with open_reader(model.journal) as one:
        rows = list(one.rows())
    with Journal.open(records.journal, Mode.PAPER) as journal:
        for day in weekdays(days):
            journal.append(told_again(rows, model, records, day))
        rebuild(journal, records)
    return records


def measured(home: Path, *words: str) -> str:
    """Run a command; return what it took, in seconds and in the peak of its memory."""
    program = (
        "import re, resource, sys; from pathlib import Path; from tbot_bot.runtime.cli import main\n"
        "status = main(sys.argv[1:]); own = Path('/proc/self/status')\n"
        # getrusage would count the parent's memory of the moment of the fork
        "found = re.search(r'VmHWM:\\s*(\\d+)', own.read_text()) if own.exists() else None\n"
        "peak = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print('peak', peak, file=sys.stderr); sys.exit(status)"
    )
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env={**os.environ, "TBOT_HOME": str(home)},
        capture_output=True, text=True, check=False, timeout=ENDED_IN_TIME_SECONDS,
    )  # fmt: skip
    took = time.perf_counter() - begun
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    peak = int(done.stderr.rpartition("peak ")[2]) * unit
    return f"{took:7.1f} s   {peak / MEGABYTE:6.0f} MiB   {done.stdout.strip().splitlines()[-1][:200]}"


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def main(days: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        model, home = Path(scratch, "model"), Path(scratch, "home")
        for folder in (model, home):
            folder.mkdir()
        begun = time.perf_counter()
        records = make_a_year(home, record_a_day(model), days)
        (home / "elsewhere").mkdir()
        (home / ".env").write_text(f"ENCRYPTION_KEY={KEY}\nBACKUP_REMOTE=elsewhere\n", encoding="ascii")
        with open_reader(records.journal) as journal:
            rows = journal.head().seq
        made = time.perf_counter() - begun
        print(f"{days} days, {rows} rows, {size_of(home / 'output'):.0f} MiB of records, made in {made:.0f} s")
        print(f"create, read back, copy   {measured(home, 'backup', 'create')}")
        (copy,) = (home / "elsewhere").iterdir()
        print(f"the file                  {copy.stat().st_size / MEGABYTE:7.1f} MiB")
        print(f"verify                    {measured(home, 'backup', 'verify')}")
        print(f"restore drill             {measured(home, 'backup', 'drill')}")
        (held,) = json.loads(records.backup_drill.read_text(encoding="utf-8"))["drills"]
        assert held["ok"]
        parts = {name: round(value, 1) for name, value in held.items() if name.endswith("_seconds")}
        print(f"of the drill              {parts}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else YEAR)

"""Holds every file below `output/` against its published schema; a file that no rule knows is a failure."""

import csv
import json
import re
from pathlib import Path
from typing import Final

from jsonschema import Draft202012Validator

import tbot_bot.reporting
from tbot_bot.reporting.trade_logger import COLUMNS

SCHEMAS: Final = Path(tbot_bot.reporting.__file__).parent / "schemas"
_MODE: Final = "(?:paper|live)"
_DAY: Final = r"\d{4}-\d{2}-\d{2}"
JSON_FILES: Final = {
    "status_bot.json": "status",
    "shutdown_flag.json": "shutdown_flag",
    f"trades/trade_history_{_MODE}.json": "trade_history",
    f"summaries/daily_summary_{_MODE}.json": "daily_summary",
    f"summaries/(reconciliation|attribution)_{_MODE}_{_DAY}.json": r"\1",
    f"summaries/(canary|backup_drill)_{_MODE}.json": r"\1",
}
JSON_LINES: Final = {
    f"logs/(?:open|mid|close)_{_MODE}.log": "session_log",
    f"logs/unresolved_orders_{_MODE}.log": "unresolved_orders",
    f"logs/disaster_{_MODE}.log": "disaster_log",
}
TABLES: Final = {f"trades/trade_history_{_MODE}.csv": COLUMNS}
RECORDS: Final = (
    r"journal/.*\.(?:sqlite3(?:-wal|-shm)?|tape\S*|frames|jsonl)",
    rf"journal/{_MODE}/.*",
    rf"ledgers/tbot_{_MODE}_ledger\.(?:sqlite3(?:-wal|-shm)?|manager)",
    r"venue/.*\.sqlite3(?:-wal|-shm)?",
    r"cache/.*",
)
"""Not for people: the journal, its tapes, the books, the simulated venue's own account, what was asked before."""


def judged(output: Path) -> dict[str, str]:
    """Return the schema by which each file was judged; empty where it is a record that has proofs of its own.

    Raises:
        AssertionError: a file that nothing knows.
        jsonschema.ValidationError: a file that is not as its schema says.
    """
    return {str(path.relative_to(output)): _judge(path, path.relative_to(output).as_posix())
            for path in sorted(output.rglob("*")) if path.is_file()}  # fmt: skip


def _judge(path: Path, name: str) -> str:
    for pattern, template in JSON_FILES.items():
        if found := re.fullmatch(pattern, name):
            schema = found.expand(template)
            _validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))
            return schema
    for pattern, schema in JSON_LINES.items():
        if re.fullmatch(pattern, name):
            for line in path.read_text(encoding="utf-8").splitlines():
                _validator(schema).validate(json.loads(line))
            return schema
    for pattern, columns in TABLES.items():
        if re.fullmatch(pattern, name):
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            assert rows[0] == list(columns)
            assert {len(row) for row in rows} == {len(columns)}
            return "trade_history"
    assert any(re.fullmatch(pattern, name) for pattern in RECORDS), f"no schema for output/{name}"
    return ""


def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


__all__ = ["judged"]

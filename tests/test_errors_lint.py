"""No silent path: every idle handler, suppression and unheard task has its reason written down."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ("tbot_bot", "tools", "benchmarks")


def sources() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        told = subprocess.run(["git", "ls-files", room], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        names = told.stdout.splitlines() or sorted(
            path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / room).rglob("*.py")
        )
        yield from (
            (name, (REPOSITORY / name).read_text(encoding="utf-8"))
            for name in names
            if name.endswith(".py") and (REPOSITORY / name).exists()
        )


def silences(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and kind of each handler that does nothing without a comment, suppression and unheard task."""
    lines = text.split("\n")
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and all(
            isinstance(step, ast.Pass | ast.Continue | ast.Expr)
            and (not isinstance(step, ast.Expr) or isinstance(step.value, ast.Constant))
            for step in node.body
        ):
            last = node.body[-1].end_lineno or node.lineno
            if not any("#" in line for line in lines[node.lineno - 1 : last]):
                yield node.lineno, "idle handler"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress":
            around = lines[max(0, node.lineno - 2) : node.lineno + 1]
            yield from [] if any("#" in line for line in around) else [(node.lineno, "suppress")]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = ast.unparse(node.value.func).split(".")[-1]
            if name in {"create_task", "ensure_future", "submit_to_thread", "run_in_executor"}:
                yield node.lineno, "unheard task"


SUPPRESSED = {
    "tbot_bot/accounting/ledger_files.py": "another process was faster; cleaning up a draft, the first error is raised",
    "tbot_bot/accounting/ledger_store.py": "SQLite has rolled back by itself; the first error is raised",
    "tbot_bot/config/files.py": "the draft is gone already; the first error is raised",
    "tbot_bot/journal/files.py": "another process was faster; cleaning up a draft, the first error is raised",
    "tbot_bot/journal/tape.py": "cutting a torn frame; the first error is raised",
    "tbot_bot/reporting/atomic.py": "removing a draft, cutting a torn line; the first error is raised",
    "tbot_bot/reporting/log_rotation.py": "removing a draft; the first error is raised",
    "tbot_bot/reporting/process_log.py": "the rotation of all logs was faster",
    "tbot_bot/runtime/alert_keeper.py": "the sender has ended already: the next look starts another",
    "tbot_bot/runtime/build_check.py": "the check that follows says what is missing",
    "tbot_bot/runtime/dead_man_run.py": "the process to be killed has ended",
    "tbot_bot/runtime/guard.py": "a pause that is over; a process that has ended; a name of no session of ours",
    "tbot_bot/runtime/journal_export.py": "the draft is gone already; the first error is raised",
    "tbot_bot/runtime/locks.py": "no lock file: nobody holds it; a time stamp is for people",
    "tbot_bot/runtime/runner_watch.py": "the process to be signalled has ended",
    "tbot_bot/runtime/sd_notify.py": "no systemd listens; its own watchdog is what notices",
    "tbot_bot/runtime/session_setup.py": "closing a tape that failed before; that error is raised",
}
"""Modules that suppress exceptions without saying why beside them, and why that is no silence."""


def test_the_search_finds_what_it_looks_for():
    bad = "try:\n    x()\nexcept OSError:\n    pass\nwith suppress(KeyError):\n    y()\nloop.create_task(z())\n"
    assert {kind for _, kind in silences(bad)} == {"idle handler", "suppress", "unheard task"}
    good = "try:\n    x()\nexcept OSError:\n    pass  # asked again after the next step\ntask = loop.create_task(z())\n"
    assert list(silences(good)) == []


def test_no_handler_is_idle_without_a_reason_and_no_task_unheard():
    found = [
        f"{path}:{line}: {kind}" for path, text in sources() for line, kind in silences(text) if kind != "suppress"
    ]
    assert found == []


def test_every_suppression_has_its_reason_here_or_beside_it():
    found = {path for path, text in sources() for _, kind in silences(text) if kind == "suppress"}
    assert sorted(found - SUPPRESSED.keys()) == []


def test_no_reason_stands_here_for_nothing():
    assert [path for path in SUPPRESSED if "suppress(" not in (REPOSITORY / path).read_text(encoding="utf-8")] == []

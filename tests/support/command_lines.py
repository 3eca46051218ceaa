"""Lines that the documents and the help texts tell a person to type, run as a shell runs them in a scratch home."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.support.rehearsal import random_walks, write_csv, write_parquet

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", "docs")

FOREGROUND = re.compile(r"tbot run\b|service_bot\b|tbot status --watch|tbot web\b")
"""Ends when a person ends it: started, seen at work, then interrupted."""
NEEDS_A_BOT = re.compile(r"tbot (stop|status)\b|stop_bot\b|status_bot\b")
NEEDS_NO_BOT = re.compile(r"tbot journal export$|tbot run\b|tbot dry-run\b")
LEAVES_A_BOT = re.compile(r"tbot start\b|start_bot\b")
STOP = "python -m tbot_bot.runtime.stop_bot"
_UP_SECONDS = 30.0
_LOOK_SECONDS = 1.5
_STOP_SECONDS = 60.0


def documented_blocks() -> list[tuple[str, list[str]]]:
    """Return the `sh` blocks of README and docs: page, lines."""
    pages = [REPOSITORY / PAGES[0], *sorted((REPOSITORY / PAGES[1]).rglob("*.md"))]
    found = []
    for page in pages:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            whole = re.sub(r" *\\\n *", " ", block)
            lines = [line.partition(" #")[0].rstrip() for line in whole.split("\n")] if language == "sh" else []
            if any(lines):
                found.append((page.relative_to(REPOSITORY).as_posix(), [line for line in lines if line]))
    return found


def examples() -> dict[str, list[str]]:
    """Return the examples of every command's help, by the command's words."""
    from typer.main import get_command  # noqa: PLC0415 - only here

    from tbot_bot.runtime.cli import app  # noqa: PLC0415 - a whole program

    found = {}

    def walk(command, words: str) -> None:
        whole = re.sub(r" *\\\n *", " ", command.epilog or "")  # a long line goes on after a backslash
        told = whole.partition("Example:\n")[2].split("\n\n")[0]
        found[words] = [line.strip() for line in told.split("\n") if line.strip()]
        for name, below in getattr(command, "commands", {}).items():
            walk(below, f"{words} {name}")

    walk(get_command(app), "tbot")
    return found


def furnished_home(folder: Path) -> Path:
    """Return a home with settings, a recorded day in the journal, bar files, and `tbot` and `python` on its path."""
    home = folder / "home"
    home.mkdir()
    for template, name in ((".env.example", ".env"), (".env_bot.template-test", ".env_bot")):
        shutil.copy(REPOSITORY / template, home / template)
        shutil.copy(REPOSITORY / template, home / name)
        (home / name).chmod(0o600)
    (home / "tools").symlink_to(REPOSITORY / "tools")
    commands = home / ".venv" / "bin"
    commands.mkdir(parents=True)
    program = "import sys; from tbot_bot.runtime.cli import main; sys.exit(main())"
    for name, words in (("tbot", f"-c '{program}' \"$@\""), ("python", '"$@"')):
        (commands / name).write_text(f"#!/bin/sh\nexec '{sys.executable}' {words}\n", encoding="utf-8")
        (commands / name).chmod(0o755)
    rehearsed, recorded = datetime(2025, 9, 2, 13, 30, tzinfo=UTC), datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
    write_csv(home / "rehearsed.csv", random_walks(1, symbols=2), rehearsed)
    for path in (home / "bars.parquet", home / "bars" / "bars.parquet", home / "FILE.parquet"):
        write_parquet(path, random_walks(2, symbols=2), recorded)
    (home / "FILE").mkdir()
    (home / "FILE.parquet").rename(home / "FILE" / "bars.parquet")
    (home / "borrow.csv").write_text("date,symbol,shares,rate\n2018-03-02,S00,,0.02\n", encoding="ascii")
    (home / "chains").mkdir()
    quotes = "underlying,expiry,strike,right,ts,bid,ask\nS00,2018-03-09,50,P,2018-03-02T14:35:00Z,1.20,1.30\n"
    (home / "chains" / "S00.csv").write_text(quotes, encoding="ascii")
    (home / "vix.csv").write_text("date,symbol,open,high,low,close\n2018-03-01,VIX,20,20,20,20\n", encoding="ascii")
    ended = typed(home, "tbot dry-run --data rehearsed.csv --day 2025-09-02")
    assert ended.returncode == 0, ended.stderr
    return home


def environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(home),  # nobody's own start files are in reach
        "TBOT_HOME": str(home),
        "PATH": f"{home / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "EDITOR": "true",
    }


def typed(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run one line to its end and return how it ended."""
    return subprocess.run(
        ["sh", "-c", line], cwd=home, env=environment(home), input="changeme\n", capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


class Typist:
    """Types lines in one home as a person would: waits for what runs in the foreground, and stops it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._bots: list[subprocess.Popen[str]] = []

    def type(self, line: str) -> tuple[int, str]:
        """Return how the line ended and what it said."""
        if NEEDS_A_BOT.search(line) and not at_work(self.home):
            self._start_bot()
        if NEEDS_NO_BOT.search(line) and at_work(self.home):
            typed(self.home, STOP)
        if FOREGROUND.search(line):
            return self._in_foreground(line)
        ended = typed(self.home, line)
        if LEAVES_A_BOT.search(line):
            typed(self.home, STOP)
        return ended.returncode, ended.stdout + ended.stderr

    def close(self) -> None:
        """Stop what still runs."""
        if at_work(self.home):
            typed(self.home, STOP)
        for bot in self._bots:
            try:
                bot.wait(_STOP_SECONDS)
            finally:
                if bot.poll() is None:
                    os.killpg(bot.pid, signal.SIGKILL)
                    bot.wait()

    def _start_bot(self) -> None:
        """Start a rehearsal in the background and wait until it is at work."""
        with (self.home / "bot.out").open("w") as log:
            self._bots.append(self._start("tbot run --rehearsal --speed 60", log.fileno()))
        wait_for(lambda: at_work(self.home), _UP_SECONDS)
        assert at_work(self.home), (self.home / "bot.out").read_text(encoding="utf-8")

    def _in_foreground(self, line: str) -> tuple[int, str]:
        with (self.home / "foreground.out").open("w+") as log:
            running = self._start(line, log.fileno())
            try:
                if "tbot run" in line:
                    wait_for(lambda: running.poll() is not None or at_work(self.home), _UP_SECONDS)
                    typed(self.home, STOP)
                else:
                    wait_for(lambda: running.poll() is not None or log.tell() > 0, _LOOK_SECONDS)
                    running.send_signal(signal.SIGINT)
                running.wait(_STOP_SECONDS)
            finally:
                if running.poll() is None:
                    os.killpg(running.pid, signal.SIGKILL)
                    running.wait()
            log.seek(0)
            return running.returncode, log.read()

    def _start(self, line: str, out: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "-c", f"exec {line}"], cwd=self.home, env=environment(self.home), stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip


def at_work(home: Path) -> bool:
    """Return whether the bot of `home` is past its start."""
    status = home / "output" / "status_bot.json"
    return status.exists() and '"shutdown"' not in status.read_text(encoding="utf-8")


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Return when `condition` has come about, or `seconds` are over."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)

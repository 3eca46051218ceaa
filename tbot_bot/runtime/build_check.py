"""What has to be in order before a start, as a list of checks with their mends: `tbot check` and the supervisor.

Strategies and safety modules are asked in a process of their own (`strategy_checks`), because the supervisor imports
no strategy. A strategy that objects is left out for the day; every other failure stops the start.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import apsw

import tbot_bot
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import ConfigError, JournalError
from tbot_bot.config.model import variables
from tbot_bot.config.settings import ENV_FILE, VERSION_FILE, Settings, bot_files, load_settings, tbot_home
from tbot_bot.core import calendar_table
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instants import iso, parse_iso
from tbot_bot.journal.files import require_sqlite
from tbot_bot.journal.store import open_reader
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.check_files import Check, files_and_rights, keys
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.kill_switch import engaged
from tbot_bot.runtime.live_proof import proof_checks

KILL_SWITCH: Final = "kill switch"
"""Name of the check whose failure has an exit status of its own."""
CONFIGURATION: Final = "configuration"
RELEASED_AT: Final = parse_iso("2026-03-01T00:00:00Z")
"""Nothing that this version is made of is older; a machine that says so has lost its clock."""
DISTRIBUTION: Final = "tradebot"
FREE_BYTES_MIN: Final = 200_000_000
CALENDAR_DAYS_AHEAD: Final = 400
SAFETY_MODULES: Final = ("risk_bot", "gate", "orders_bot")
"""What has to answer that it still keeps the bot from doing harm; the questions are in `trading/safety.py`."""
_STRATEGY_SECONDS: Final = 20.0
_MEGABYTE: Final = 1_000_000
_TAG: Final = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)([^;]*)(;.*)?")
_BOUND: Final = re.compile(r"(>=|<)\s*([0-9.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCheckReport:
    """All checks, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Return whether the bot may start."""
        return all(check.passed or not check.critical for check in self.checks)

    @property
    def status(self) -> int:
        """Return the exit status: 0 the bot may start, 2 its settings cannot be used, 3 another check failed."""
        if self.passed:
            return 0
        return 2 if any(check.name == CONFIGURATION for check in self.failures) else 3

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that stop the start."""
        return tuple(check for check in self.checks if check.critical and not check.passed)

    @property
    def skipped(self) -> Mapping[StrategyName, str]:
        """The strategies left out for the day, with what they object to."""
        return {check.strategy: check.detail for check in self.checks if check.strategy and not check.passed}


def build_check(home: Path, settings: Settings) -> BuildCheckReport:
    """Make every check; no failure keeps the others from being made."""
    asked = _Strategies(settings.bot)
    control = home / settings.env.control_dir
    checks = (
        Check(name=CONFIGURATION, passed=True, detail=_configured(home, settings)),
        keys(home, settings),
        *(_folder(home, path) for path in (home / "output", home / "logs", control)),
        files_and_rights(home, settings),
        *_machine(home),
        _version_tag(home, settings.bot.version_tag),
        _journal(home, settings.bot),
        _kill_switch(home, control),
        *proof_checks(home, settings.bot),
    )
    return BuildCheckReport(checks=(*checks, *asked.checks()))


def check_home(
    home: Path, overrides: Mapping[str, str] | None = None, *, defaults_if_absent: bool = False
) -> BuildCheckReport:
    """Read the settings of `home` and make every check; without settings, those that need none."""
    try:
        settings = load_settings(home, overrides or {}, defaults_if_absent=defaults_if_absent)
    except ConfigError as error:
        mend = "Mend the lines named here, then check again."
        failed = Check(name=CONFIGURATION, passed=False, detail=error.what, mend=mend)
        return BuildCheckReport(checks=(failed, *_machine(home)))
    return build_check(home, settings)


def _configured(home: Path, settings: Settings) -> str:
    """Say what the settings in force were read from; a start that is no rehearsal needs both files."""
    files = bot_files(home, settings.env)
    absent = [] if os.path.lexists(home / ENV_FILE) else [ENV_FILE]
    if not files.are_sealed and not os.path.lexists(files.plain):
        absent.append(files.shown)
    if not absent:
        return "read and consistent"
    return f"no {' and no '.join(absent)}: built-in settings, which are enough for a rehearsal and for nothing else"


def _machine(home: Path) -> tuple[Check, ...]:
    """Look at what no setting can change."""
    return (_disk(home), _python(), *_libraries(), _sqlite(), _time_zones(), _clock(), _calendar())


def _folder(home: Path, folder: Path) -> Check:
    shown = _below(home, folder)
    name = f"folder {shown}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        mend = f"Make {shown} a folder that this user may write."
        return Check(name=name, passed=False, detail=f"not writable: {error.strerror or error}", mend=mend)
    return Check(name=name, passed=True, detail="writable")


def _disk(home: Path) -> Check:
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        mend = "Make TBOT_HOME a folder on a mounted disk."
        return Check(name="disk space", passed=False, detail=f"unknown: {error.strerror}", mend=mend)
    detail = f"{free // _MEGABYTE} MB free, {FREE_BYTES_MIN // _MEGABYTE} MB needed"
    enough = free >= FREE_BYTES_MIN
    return Check(name="disk space", passed=enough, detail=detail, mend="" if enough else "Make room on the disk.")


def _python() -> Check:
    present = platform.python_version()
    try:
        wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        wanted = ""
    fits = _fits(present, wanted)
    mend = "" if fits else "Remove .venv and run `make setup` with such a Python."
    return Check(name="python", passed=fits, detail=f"{present}, wanted {_spelled(wanted)}", mend=mend)


def _libraries() -> tuple[Check, ...]:
    """Hold every library that the package itself says it needs against what is installed."""
    mend = "Run `make setup`: it installs the pinned versions."
    try:
        needed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        detail = f"the package {DISTRIBUTION} is not installed, so what it needs is not known"
        return (Check(name="libraries", passed=False, detail=detail, mend=mend),)
    checks = []
    for line in needed:
        found = _REQUIREMENT.match(line)
        if found is None or found[3]:  # of an extra
            continue
        name, bounds = found[1], found[2]
        try:
            present = metadata.version(name)
        except metadata.PackageNotFoundError:
            present = ""
        fits = bool(present) and _fits(present, bounds)
        detail = f"{present or 'not installed'}, wanted {_spelled(bounds)}"
        checks.append(Check(name=f"library {name}", passed=fits, detail=detail, mend="" if fits else mend))
    return tuple(checks)


def _sqlite() -> Check:
    version = apsw.sqlite_lib_version()
    try:
        require_sqlite(version)
    except JournalError as error:
        return Check(name="sqlite", passed=False, detail=error.what, mend=error.mend)
    return Check(name="sqlite", passed=True, detail=version)


def _version_tag(home: Path, tag: str) -> Check:
    running = f"v{tbot_bot.__version__}"
    stated = {"this program": running}
    with suppress(OSError):
        head = re.search(
            r"v[0-9]+\.[0-9]+\.[0-9]+", (home / VERSION_FILE).read_text(encoding="utf-8", errors="replace")
        )
        stated[VERSION_FILE] = head[0] if head else "nothing"
    others = [f"{whose} says {what}" for whose, what in stated.items() if what != tag]
    if not others:
        return Check(name="version tag", passed=True, detail=tag)
    mend = f"Read what changed in {VERSION_FILE}, then set VERSION_TAG={running}."
    return Check(name="version tag", passed=False, detail=f"VERSION_TAG is {tag}, {', '.join(others)}", mend=mend)


def _time_zones() -> Check:
    try:
        zone = ZoneInfo.no_cache("America/New_York")
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        mend = "Install tzdata: the system's package, or `make setup`."
        return Check(name="time zones", passed=False, detail=f"no data of New York: {error}", mend=mend)
    winter = exchange_time(parse_iso("2026-01-15T17:00:00Z")).replace(tzinfo=zone).utcoffset()
    summer = exchange_time(parse_iso("2026-07-15T16:00:00Z")).replace(tzinfo=zone).utcoffset()
    right = (winter, summer) == (timedelta(hours=-5), timedelta(hours=-4))
    detail = f"New York is at UTC{_hours(winter)} in winter, UTC{_hours(summer)} in summer"
    mend = "" if right else "Update tzdata: the New York zone is five hours behind UTC, four in summer."
    return Check(name="time zones", passed=right, detail=detail, mend=mend)


def _clock() -> Check:
    before, now, after = monotonic_seconds(), wall_now(), monotonic_seconds()
    mend = "Set the machine's clock, and let chrony or systemd-timesyncd keep it."
    if now < RELEASED_AT:
        detail = f"{iso(now)} is before this version was made ({iso(RELEASED_AT)})"
        return Check(name="clock", passed=False, detail=detail, mend=mend)
    if exchange_time(now).date() > calendar_table.LAST:
        detail = f"{iso(now)} is beyond the trading calendar, which ends on {calendar_table.LAST}"
        return Check(name="clock", passed=False, detail=detail, mend=f"{mend} If it is right, install a newer version.")
    if after < before:
        detail = f"the monotonic clock went back by {before - after:.3f} s"
        return Check(name="clock", passed=False, detail=detail, mend="Do not trade on this machine.")
    return Check(name="clock", passed=True, detail=iso(now))


def _calendar() -> Check:
    today = exchange_time(wall_now()).date()
    wanted = today + timedelta(days=CALENDAR_DAYS_AHEAD)
    first, last = calendar_table.FIRST, calendar_table.LAST
    covered = first <= today and wanted <= last
    detail = f"{first} to {last}, wanted {today} to {wanted}"
    mend = "" if covered else "Install a newer version, or run `tools/generate_calendar.py`."
    return Check(name="trading calendar", passed=covered, detail=detail, mend=mend)


def _journal(home: Path, bot: BotSettings) -> Check:
    records = records_for(home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)
    name, path = f"journal {records.mode}", records.journal
    if not path.exists() and not path.is_symlink():
        return Check(name=name, passed=True, detail="none yet; the first session makes it")
    try:
        with open_reader(path) as reader:
            head, mode = reader.head(), reader.mode
    except JournalError as error:
        return Check(name=name, passed=False, detail=error.what, mend=error.mend)
    if mode is not records.mode:
        mend = "Put it back under its own name; live and paper never share a file."
        return Check(name=name, passed=False, detail=f"the file is the journal of mode {mode}", mend=mend)
    return Check(name=name, passed=True, detail=f"{head.seq} rows, head {head.hash.hex()[:12]}")


def _kill_switch(home: Path, control: Path) -> Check:
    why, request = engaged(home, control), ControlFolder(control).peek(Flag.KILL)
    if why:
        mend = "Find out what happened, then run tbot resume --why TEXT."
        return Check(name=KILL_SWITCH, passed=False, detail=f"engaged {why}", mend=mend)
    if request is not None:
        detail = f"asked for by {request.by}: {request.why or 'no reason given'}"
        mend = "Find out what happened, then run tbot resume --why TEXT."
        return Check(name=KILL_SWITCH, passed=False, detail=detail, mend=mend)
    return Check(name=KILL_SWITCH, passed=True, detail="not engaged")


class _Strategies:
    """The strategies' own checks, asked for while the others are made."""

    def __init__(self, bot: BotSettings) -> None:
        self._enabled = bot.strategies
        self._given = json.dumps({name: text for name, text in _texts(bot).items() if text})
        self._process = subprocess.Popen(  # our own module
            (sys.executable, "-m", "tbot_bot.runtime.strategy_checks"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def checks(self) -> tuple[Check, ...]:
        """Return the answers; one critical failure where there is none, since then nothing can trade."""
        try:
            answered, complaint = self._process.communicate(self._given, timeout=_STRATEGY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return (_unanswered(f"no answer within {_STRATEGY_SECONDS:.0f} s"),)
        try:
            objections: object = json.loads(answered)
        except ValueError:
            return (_unanswered((complaint.strip().splitlines() or ["no answer"])[-1]),)
        if not isinstance(objections, dict):
            return (_unanswered("not an answer"),)
        strategies = (_strategy_check(name, objections.get(name.value)) for name in self._enabled)
        return (*(_safety_check(name, objections.get(f"safety {name}")) for name in SAFETY_MODULES), *strategies)


def _texts(bot: BotSettings) -> Mapping[str, str]:
    return {one.name: one.kind.render(getattr(bot, one.attribute)) for one in variables(BotSettings)}


def _strategy_check(name: StrategyName, objections: object) -> Check:
    title = f"strategy {name}"
    if objections == []:
        return Check(name=title, passed=True, detail="its self-check passed", critical=False, strategy=name)
    words = "; ".join(map(str, objections)) if isinstance(objections, list) else "it did not answer"
    mend = "It is left out for the day. Mend its settings in .env_bot, or report the defect."
    return Check(name=title, passed=False, detail=words, mend=mend, critical=False, strategy=name)


def _safety_check(name: str, objections: object) -> Check:
    title = f"safety {name}"
    if objections == []:
        return Check(name=title, passed=True, detail="its self-check passed")
    words = "; ".join(map(str, objections)) if isinstance(objections, list) else "it did not answer"
    mend = "Nothing may be traded behind it: install the version anew (`make setup`), and report the defect."
    return Check(name=title, passed=False, detail=words, mend=mend)


def _unanswered(why: str) -> Check:
    mend = "The installation is damaged: run `make setup`, and report it if that does not help."
    return Check(name="strategies", passed=False, detail=f"they could not be asked: {why}", mend=mend)


def _fits(present: str, bounds: str) -> bool:
    have = _numbers(present)
    for sign, bound in _BOUND.findall(bounds):
        at_least = have >= _numbers(bound)
        if at_least is (sign == "<"):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _spelled(bounds: str) -> str:
    return " and ".join(sorted(part.strip() for part in bounds.split(","))) if bounds.strip() else "any"


def _hours(offset: timedelta | None) -> str:
    return "?" if offset is None else f"{offset / timedelta(hours=1):+g}"


def _below(home: Path, path: Path) -> str:
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else path.as_posix()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the checks of an installation and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tbot_bot.runtime.build_check",
        description="Check whether the bot can start here. Exit status 2: not with these settings; 3: not here.",
        epilog="example: python -m tbot_bot.runtime.build_check --home .",
        allow_abbrev=False,
    )
    parser.add_argument("--home", type=Path, default=None, help="the installation's folder (default: TBOT_HOME)")
    chosen = parser.parse_args(argv)
    report = check_home(chosen.home or tbot_home())
    for check in report.checks:
        sys.stdout.write(f"{check_line(check)}\n")
    return report.status


def check_line(check: Check) -> str:
    """Return the check in words: `pass  disk space: 4000 MB free`, and how to mend what failed."""
    mark = "pass" if check.passed else ("FAIL" if check.critical else "skip")
    mend = f" {check.mend}" if check.mend and not check.passed else ""
    return f"{mark}  {check.name}: {check.detail}{'.' if mend and not check.detail.endswith('.') else ''}{mend}"


if __name__ == "__main__":
    sys.exit(main())

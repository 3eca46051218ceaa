"""Proof before live: a strategy trades a live account only where its code has a dry run and a backtest on record.

On record is, for the deciding code as it is now (its fingerprint), however old: a session of the strategy in the paper
journal of this home that came to its end without trouble, and a kept backtest of it in `output/backtests`. Any other
deciding code needs both again. A person may waive it, with a reason, for this code alone.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.assembly.fingerprint import DECIDING_ROOMS, code_fingerprint, room_digest
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.codec import CodecError
from tbot_bot.core.commands import EngageKillSwitch, SessionEnded, TradeRecord
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant, iso
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.proof_waived import ProofWaived, waivers_in
from tbot_bot.journal.session_log import decided_in
from tbot_bot.journal.store import JournalReader, open_reader
from tbot_bot.reporting.report_router import BacktestPaths, OutputPaths, backtests_folder, records_for
from tbot_bot.runtime.check_files import Check
from tbot_bot.runtime.session_progress import progress_of
from tbot_bot.runtime.supervisor_state import saved

TITLE: Final = "proof before live"
_BAD_ENDS: Final = frozenset({"unclosed", "oversold"})
_CRITICAL: Final = '"severity":"critical"'
_DEAD_MAN: Final = '{"_":"DeadManReport"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is on record of one strategy under today's code."""

    strategy: StrategyName
    dry_run: str = ""
    """The session that passed; empty: none."""
    backtest: str = ""
    """Name of the kept run; empty: none."""
    waived: ProofWaived | None = None

    @property
    def given(self) -> bool:
        """Return whether the strategy may trade live."""
        return bool(self.dry_run and self.backtest) or self.waived is not None

    @property
    def words(self) -> str:
        """Return what is there, or what is missing."""
        if self.dry_run and self.backtest:
            return f"dry run {self.dry_run} and backtest {self.backtest} are on record for this code"
        both = (("no passed dry run", self.dry_run), ("no backtest", self.backtest))
        missing = f"{' and '.join(name for name, found in both if not found)} of this code on record"
        if self.waived is not None:
            return f"{missing}; waived by {self.waived.by} at {iso(self.waived.at)}: {self.waived.why}"
        return missing

    @property
    def mend(self) -> str:
        """Return the commands that make what is missing."""
        steps = [
            *(() if self.dry_run else ("`tbot run --rehearsal --once` (or `tbot dry-run --data FILE --day DAY`)",)),
            *(
                ()
                if self.backtest
                else (f"`tbot backtest run --strategy {self.strategy} --start DAY --end DAY --data FILE`",)
            ),
        ]
        return f'Run {" and ".join(steps)}, or overrule it: `tbot run --i-know "REASON"`.'


def goes_live(bot: BotSettings) -> bool:
    """Return whether orders would go to a live account."""
    modes: Mapping[str, BrokerMode] = {"alpaca": bot.alpaca_mode, "ibkr": bot.ibkr_mode}
    return not bot.test_mode and any(modes.get(name) is BrokerMode.LIVE for name in bot.enabled_brokers)


def proof_checks(home: Path, bot: BotSettings) -> tuple[Check, ...]:
    """Return one check for each strategy that would trade live; none where nothing does."""
    return tuple(
        Check(name=f"{TITLE} {one.strategy}", passed=one.given, detail=one.words, mend="" if one.given else one.mend)
        for one in (proofs(home, bot) if goes_live(bot) else ())
    )


def proofs(home: Path, bot: BotSettings) -> tuple[Proof, ...]:
    """Return what is on record of each enabled strategy."""
    code = code_fingerprint()
    dry_runs = _dry_runs(records_for(home, Mode.PAPER, test_mode=True), code, bot.strategies)
    backtests = dict(_backtests(home))
    waived = _waivers(home, bot, code)
    return tuple(
        Proof(strategy=name, dry_run=dry_runs.get(name, ""), backtest=backtests.get(name, ""), waived=waived.get(name))
        for name in bot.strategies
    )


def unproved(home: Path, bot: BotSettings) -> tuple[Proof, ...]:
    """Return the strategies that would trade live without a proof."""
    return tuple(one for one in proofs(home, bot) if not one.given) if goes_live(bot) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the proofs mean for a start."""

    lacking: tuple[Proof, ...]
    begun: frozenset[StrategyName]
    """Their sessions of the day in hand have begun and are not over: somebody has to end them, proof or not."""
    reason: str
    """Why a person waives what is lacking; empty: nobody does."""

    def forgives(self, check: Check) -> bool:
        """Return whether a failed check of a proof does not stop the start."""
        return check.name.startswith(TITLE) and bool(self.reason or self.begun)

    @property
    def out_today(self) -> dict[StrategyName, str]:
        """Return the strategies that do not begin a session today, and why."""
        lacking = () if self.reason else self.lacking
        return {one.strategy: one.words for one in lacking if one.strategy not in self.begun}

    def waiver(self, by: str, at: Instant) -> ProofWaived | None:
        """Return the row that the journal has to hold before anything is traded; None: none."""
        if not self.reason or not self.lacking:
            return None
        names = tuple(one.strategy for one in self.lacking)
        return ProofWaived(at=at, by=by, why=self.reason, code_fingerprint=code_fingerprint(), strategies=names)


def admission(home: Path, bot: BotSettings, control: Path, reason: str) -> Admission:
    """Return what the proofs on record mean for a start, which a person asks for with `reason`."""
    lacking = unproved(home, bot)
    begun = _begun(home, bot, control) if lacking else frozenset()
    return Admission(lacking=lacking, begun=begun, reason=reason)


# --- what is on record ------------------------------------------------------------------------------------------------


def _dry_runs(records: OutputPaths, code: str, wanted: tuple[StrategyName, ...]) -> dict[StrategyName, str]:
    """Return by strategy its latest session in the paper journal that this code has passed."""
    if not records.journal.exists():
        return {}
    found: dict[StrategyName, str] = {}
    mark = f'"code_fingerprint":"{code}"'
    try:
        with open_reader(records.journal) as journal:
            names = [row.session for row in journal.rows(kind=Kind.SESSION) if mark in row.payload]
            for name in reversed(names):
                strategy = SessionId.parse(name).strategy
                if strategy in wanted and strategy not in found and _passed(journal, name):
                    found[strategy] = name
    except (JournalError, CodecError):  # a record that cannot be read proves nothing; other checks name the damage
        return found
    return found


def _passed(journal: JournalReader, session: str) -> bool:
    """Return whether a session ended as it should: nothing left open, no kill switch, no critical error."""
    if any(
        _CRITICAL in row.payload or _DEAD_MAN in row.payload for row in journal.rows(session=session, kind=Kind.ERROR)
    ):
        return False
    ended = False
    for row in journal.rows(session=session, kind=Kind.COMMAND):
        decided = decided_in(row)
        for output in () if decided is None else decided.outputs:
            if isinstance(output, EngageKillSwitch) or (
                isinstance(output, TradeRecord) and output.error_code in _BAD_ENDS
            ):
                return False
            ended = ended or isinstance(output, SessionEnded)
    return ended


def _backtests(home: Path) -> Iterator[tuple[StrategyName, str]]:
    """Yield (strategy, run) of every whole backtest by today's deciding code, oldest first."""
    folder = backtests_folder(home)
    runs = sorted(folder.iterdir()) if folder.is_dir() else []
    today = {f"tbot_bot/{room}": room_digest(room) for room in DECIDING_ROOMS}
    for run in runs:
        manifest = _manifest(BacktestPaths(folder=run).manifest)
        code = _pairs(manifest.get("code"))
        if any(code.get(room) != digest for room, digest in today.items()) or not _whole(run, manifest):
            continue
        yield from ((strategy, run.name) for strategy in _strategies_of(manifest))


def _manifest(path: Path) -> dict[str, object]:
    """Return the manifest's plain data, empty where it cannot be read: numbers of other layouts do not matter here."""
    try:
        data: object = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _pairs(told: object) -> dict[str, str]:
    entries = told if isinstance(told, list) else []
    return {str(one.get("name")): str(one.get("sha256")) for one in entries if isinstance(one, dict)}


def _whole(run: Path, manifest: Mapping[str, object]) -> bool:
    """Return whether everything that the run left is still what it was."""
    files = _pairs(manifest.get("files"))
    try:
        return bool(files) and all(
            hashlib.sha256((run / Path(name).name).read_bytes()).hexdigest() == digest for name, digest in files.items()
        )
    except OSError:
        return False


def _strategies_of(manifest: Mapping[str, object]) -> list[StrategyName]:
    """Return what was traded: what was asked for, else the daily sequence of the settings of then."""
    asked = manifest.get("strategies")
    named = [str(one) for one in asked] if isinstance(asked, list) else []
    if not named:
        lines = manifest.get("settings")
        told = dict(str(line).partition("=")[::2] for line in (lines if isinstance(lines, list) else []))
        sequence = told.get("STRATEGY_OVERRIDE") or told.get("STRATEGY_SEQUENCE", "")
        named = [one for one in sequence.split(",") if told.get(f"STRAT_{one.upper()}_ENABLED") == "true"]
    return [name for name in StrategyName if name.value in named]


def _records(home: Path, bot: BotSettings) -> OutputPaths:
    return records_for(home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export)


def _begun(home: Path, bot: BotSettings, control: Path) -> frozenset[StrategyName]:
    hand, records = saved(control), _records(home, bot)
    if hand is None or not records.journal.exists():
        return frozenset()
    try:
        with open_reader(records.journal) as journal:
            ids = [SessionId(day=hand.day, strategy=name, run=hand.run) for name in StrategyName]
            found = {one.strategy: progress_of(journal, one) for one in ids}
    except (JournalError, CodecError):  # the check of the journal says so
        return frozenset()
    return frozenset(name for name, one in found.items() if one.begun and one.ended_at is None)


def _waivers(home: Path, bot: BotSettings, code: str) -> dict[StrategyName, ProofWaived]:
    records = _records(home, bot)
    if not records.journal.exists():
        return {}
    try:
        with open_reader(records.journal) as journal:
            return waivers_in(journal, code)
    except JournalError:  # the check of the journal says so
        return {}


__all__ = ["TITLE", "Admission", "Proof", "admission", "goes_live", "proof_checks", "proofs", "unproved"]

"""Where every record goes, by mode; the one module that spells file names.

Test mode can only reach `_paper` files: the value that names a `_live` file cannot be made without a
`LiveRecords`, and a `LiveRecords` cannot be made in test mode. The type checker refuses a `bool` where
`Literal[False]` is asked for, and at run time both the making and every single path ask again.
`FORCE_PAPER_EXPORT` sends all outputs to `_paper`, the journal included; it changes no broker.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.journal.store import journal_path
from tbot_bot.journal.tape import tape_path


class LiveRecordsRefused(LogicError):
    """Something tried to name a `_live` file where only `_paper` ones may be written."""

    code = "LIVE_RECORDS"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRecords:
    """Permission to write `_live` files; there is none in test mode, nor with `FORCE_PAPER_EXPORT`."""

    mode: Literal[Mode.LIVE]
    test_mode: Literal[False]
    force_paper_export: Literal[False]

    def __post_init__(self) -> None:
        """Refuse whatever the type checker could not see."""
        self.hold()

    def hold(self) -> None:
        """Do nothing while this permission is sound.

        Raises:
            LiveRecordsRefused: a field says otherwise.
        """
        given: tuple[object, object, object] = (self.mode, self.test_mode, self.force_paper_export)
        if given[0] is not Mode.LIVE or given[1] is not False or given[2] is not False:
            raise LiveRecordsRefused(
                f"live records asked for with mode={given[0]}, test_mode={given[1]}, force_paper_export={given[2]}",
                mend="Build paths with `records_for`, which routes these to `_paper`.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPaths:
    """Every path of one mode below one home folder. Naming a path creates nothing."""

    home: Path
    mode: Mode
    """The variant that file names carry."""
    permission: LiveRecords | None = None
    """Needed for `Mode.LIVE`, absent for all others."""

    def __post_init__(self) -> None:
        """Refuse a live value without permission, and a permission where it is not needed."""
        self._variant()
        if self.mode is not Mode.LIVE and self.permission is not None:
            raise LiveRecordsRefused(f"a permission for live records does not belong to mode {self.mode}")

    def session_log(self, strategy: StrategyName) -> Path:
        """Return the story of all sessions of `strategy`."""
        return self.home / "output" / "logs" / f"{strategy}_{self._variant()}.log"

    @property
    def trade_history_csv(self) -> Path:
        """All trades as comma-separated values."""
        return self.home / "output" / "trades" / f"trade_history_{self._variant()}.csv"

    @property
    def trade_history_json(self) -> Path:
        """The same trades as a JSON array."""
        return self.home / "output" / "trades" / f"trade_history_{self._variant()}.json"

    @property
    def daily_summary(self) -> Path:
        """The figures of each day."""
        return self.home / "output" / "summaries" / f"daily_summary_{self._variant()}.json"

    @property
    def unresolved_log(self) -> Path:
        """What a person should look at."""
        return self.home / "output" / "logs" / f"unresolved_orders_{self._variant()}.log"

    @property
    def disaster_log(self) -> Path:
        """Entering and leaving of defense mode."""
        return self.home / "output" / "logs" / f"disaster_{self._variant()}.log"

    @property
    def status(self) -> Path:
        """The present state; one file for all modes, which says its mode itself."""
        return self.home / "output" / "status_bot.json"

    @property
    def shutdown_flag(self) -> Path:
        """The reason of a shutdown; one file for all modes."""
        return self.home / "output" / "shutdown_flag.json"

    def reconciliation(self, day: date) -> Path:
        """Return what the comparison of `day` with the brokers came to."""
        return self.home / "output" / "summaries" / f"reconciliation_{self._variant()}_{day.isoformat()}.json"

    def attribution(self, day: date) -> Path:
        """Return what the trades of `day` came to against the simulator's."""
        return self.home / "output" / "summaries" / f"attribution_{self._variant()}_{day.isoformat()}.json"

    @property
    def backup_drill(self) -> Path:
        """What the last restore drills came to."""
        return self.home / "output" / "summaries" / f"backup_drill_{self._variant()}.json"

    @property
    def backups(self) -> Path:
        """The folder of the backups of all modes, whose names say theirs."""
        return self.home / "backups"

    @property
    def process_logs(self) -> Path:
        """The folder of the processes' own logs."""
        return self.home / "logs" / "bot" / self._variant()

    def process_log(self, process: str) -> Path:
        """Return the log that `process` (such as `runner`) writes now; rotated ones stand beside it."""
        return self.process_logs / f"{process}.log"

    @property
    def journal_folder(self) -> Path:
        """The folder of journals and tapes."""
        return self.home / "output" / "journal"

    @property
    def journal(self) -> Path:
        """The event store."""
        self._variant()
        return journal_path(self.journal_folder, self.mode)

    @property
    def ledger(self) -> Path:
        """The double-entry ledger; a backtest writes none."""
        return self.home / "output" / "ledgers" / f"tbot_{self._variant()}_ledger.sqlite3"

    def tape(self, session: SessionId) -> Path:
        """Return the market tape of `session`."""
        self._variant()
        return tape_path(self.journal_folder, self.mode, session)

    def for_people(self) -> tuple[Path, ...]:
        """Return the files that a session writes for people, in the order in which to name them."""
        return (
            *(self.session_log(strategy) for strategy in StrategyName),
            self.trade_history_csv,
            self.trade_history_json,
            self.daily_summary,
            self.unresolved_log,
        )

    def _variant(self) -> str:
        """Return the mode as file names spell it; asked for each path, so that no forged value gets by.

        Raises:
            LiveRecordsRefused: a live name without a sound permission.
        """
        if self.mode == Mode.LIVE:
            if not isinstance(self.permission, LiveRecords):
                raise LiveRecordsRefused(
                    "a live record was named without permission", mend="Build paths with `records_for`."
                )
            self.permission.hold()
        return Mode(self.mode).value


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestPaths:
    """The files of one backtest, all in one folder. Naming a path creates nothing."""

    folder: Path

    @property
    def trade_history_csv(self) -> Path:
        """All trades as comma-separated values, in the columns of every mode."""
        return self.folder / f"trade_history_{Mode.BACKTEST}.csv"

    @property
    def trade_history_json(self) -> Path:
        """The same trades as a JSON array."""
        return self.folder / f"trade_history_{Mode.BACKTEST}.json"

    @property
    def daily_summary(self) -> Path:
        """The figures of each day."""
        return self.folder / f"daily_summary_{Mode.BACKTEST}.json"

    @property
    def equity_curve(self) -> Path:
        """What the accounts were worth at each day's end."""
        return self.folder / "equity_curve.csv"

    @property
    def metrics(self) -> Path:
        """The figures over all days."""
        return self.folder / "metrics.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @property
    def manifest(self) -> Path:
        """What was run, on what, by which code."""
        return self.folder / "manifest.json"


def backtests_folder(home: Path) -> Path:
    """Return the folder of backtests, each in a folder of its own."""
    return home / "output" / "backtests"


def records_for(home: Path, mode: Mode, *, test_mode: bool, force_paper_export: bool = False) -> OutputPaths:
    """Return the paths for a bot that runs in `mode`.

    Test mode and `force_paper_export` turn live into paper; a backtest stays a backtest.
    """
    if mode is not Mode.LIVE:
        return OutputPaths(home=home, mode=mode)
    if test_mode or force_paper_export:
        return OutputPaths(home=home, mode=Mode.PAPER)
    permission = LiveRecords(mode=mode, test_mode=False, force_paper_export=False)
    return OutputPaths(home=home, mode=mode, permission=permission)


__all__ = ["BacktestPaths", "LiveRecords", "LiveRecordsRefused", "OutputPaths", "backtests_folder", "records_for"]

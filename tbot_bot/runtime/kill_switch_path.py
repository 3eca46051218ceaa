"""What carries out the kill switch, and closes single positions where no bot runs: without engine and settings.

A process of its own, as the dead-man path is, with the same hands. It takes the runner's lock, asks the venues
what of ours rests and is held, closes it (or sees that it is protected), and says what it did: in the journal
where that can be written, in `output/shutdown_flag.json`, and as the last line of its output.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tbot_bot import __version__
from tbot_bot.config.choices import BrokerMode
from tbot_bot.config.error_handler import JournalError, TbotError
from tbot_bot.core.codec import CodecError
from tbot_bot.core.errors import BrokerProblem
from tbot_bot.core.identity import Mode, TradeName
from tbot_bot.core.instants import Instant, iso, later, seconds
from tbot_bot.core.money import ZERO, plain
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal, journal_path, open_reader
from tbot_bot.reporting.noted import Noted
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_builder import ProcessFacts, idle_status
from tbot_bot.reporting.status_logger import BotState, write_status
from tbot_bot.runtime.background import say
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.dead_man import Work
from tbot_bot.runtime.flattening import Flattener, Keeper, VenueTrade
from tbot_bot.runtime.kill_switch import MODES, Engagement, engagement
from tbot_bot.runtime.kill_switch_flag import ShutdownFlag, read_flag, write_flag
from tbot_bot.runtime.last_resort import scrubbed_output
from tbot_bot.runtime.locks import AlreadyRunning
from tbot_bot.runtime.runner_arguments import RunnerArguments, RunnerExit
from tbot_bot.runtime.session_brokers import session_brokers
from tbot_bot.runtime.session_progress import progress_of

FLATTEN: Final = "flatten"
"""Exit reason of what a person had closed without the kill switch."""
KILL: Final = "kill"
_LAG: Final = seconds(5)
"""Real time by which a busy session's market may be behind its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked for."""

    control: Path
    by: str
    why: str
    latched: bool
    """The kill switch; else only the closing of what `broker` and `symbol` name."""
    keep_positions: bool = False
    broker: str = ""
    symbol: str = ""
    knows_market: bool = True
    seconds: float = 120.0

    def wants(self, trade: TradeName) -> bool:
        """Return whether `trade` is meant."""
        return self.broker in {"", trade.broker} and self.symbol in {"", trade.symbol}


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the path."""

    request: RunnerArguments
    task: Task
    problems: list[str] = field(default_factory=list)

    async def carry_out(self) -> int:
        """Do what is asked for, leave word of it, and return the exit status.

        Raises:
            AlreadyRunning: a runner is alive and does not let go of its lock.
        """
        task = self.task
        began = wall_now()
        found = engagement(self.request.home, task.control) if task.latched else None
        engaged = found or Engagement(by=task.by, why=task.why, at=began, keep_positions=task.keep_positions)
        work = Work(
            request=self.request,
            control=task.control,
            why=f"{KILL if task.latched else FLATTEN} {engaged.words}",
            tell=tell,
            deadline=monotonic_seconds() + task.seconds,
            reason=KILL if task.latched else FLATTEN,
            wanted=task.wants,
            hands=Keeper if task.keep_positions else Flattener,
            may_report=self._may_report,
            knows_market=task.knows_market,
            everywhere=True,
        )
        await work.run()
        flag = self._told_of(work, engaged, engaged.at or began)
        if task.latched:
            self._note(engaged, flag)
            flag = self._leave(flag)
            self._show_halted(engaged)
        tell(f"REPORT {json.dumps(flag.plain(), ensure_ascii=False)}")
        return RunnerExit.FAILED if flag.left else RunnerExit.DONE

    def _may_report(self, told: Sequence[VenueTrade]) -> bool:
        """Return whether the session is told as over: not one that keeps its positions, nor one that never began."""
        if self.task.keep_positions:
            return False
        return bool(told) or (self.task.latched and self._in_progress())

    def _in_progress(self) -> bool:
        for mode in MODES:
            path = journal_path(self.request.home / "output" / "journal", mode)
            with suppress(JournalError, CodecError, OSError):  # a broken journal hinders no closing
                if path.exists():
                    with open_reader(path) as journal:
                        progress = progress_of(journal, self.request.session)
                    if progress.begun and progress.ended_at is None:
                        return True
        return False

    def _told_of(self, work: Work, engaged: Engagement, at: Instant) -> ShutdownFlag:
        """Return what came of it, as the venues tell."""
        clock = self.request.clock
        since = later(clock.now(), -int((wall_now() - at + _LAG) * clock.speed))
        trades = [trade for flattener in work.flatteners for trade in flattener.trades.values()]
        kept = tuple(f"{trade.trade_id}: {_held(trade)}" for trade in trades if trade.flat and trade.held != ZERO)
        return ShutdownFlag(
            reason=engaged.why,
            by=engaged.by,
            source=engaged.source,
            at=at,
            written_at=wall_now(),
            keep_positions=self.task.keep_positions,
            done=not work.left,
            cancelled=tuple(order_id for trade in trades for order_id in trade.cancelled),
            closed=tuple(words for trade in trades if (words := _closing(trade, since))),
            kept=kept if self.task.keep_positions else (),
            left=tuple(work.left),
            problems=tuple(self.problems),
        )

    def _leave(self, flag: ShutdownFlag) -> ShutdownFlag:
        """Write the flag, with what an earlier run for the same engagement has done."""
        whole = flag.after(read_flag(self.request.home))
        try:
            write_flag(self.request.home, whole)
        except OSError as error:
            tell(f"the shutdown flag could not be written: {error}")
        return whole

    def _note(self, engaged: Engagement, flag: ShutdownFlag) -> None:
        text = f"the kill switch is engaged {engaged.words}; {flag.words}"
        now = wall_now()
        for mode in MODES:
            path = journal_path(self.request.home / "output" / "journal", mode)
            try:
                if path.exists():
                    with Journal.open(path, mode, busy_seconds=2.0) as journal:
                        noted = Noted(at=now, text=text)
                        journal.append([Entry.of(noted, kind=Kind.NOTE, at=now, recorded_at=now)])
            except (JournalError, OSError) as error:
                tell(f"not journaled: {error}")

    def _show_halted(self, engaged: Engagement) -> None:
        """Write the status of a halted bot: whoever wrote it before may be dead."""
        facts = ProcessFacts(version=__version__, pid=os.getpid(), written_at=wall_now(), journal_sequence=0)
        before = self.request.rehearsal or not self._trades_live()
        status = idle_status(
            facts,
            mode=Mode.PAPER if before else Mode.LIVE,
            test_mode=before,
            state=BotState.HALTED,
            reason=f"the kill switch is engaged {engaged.words}",
        )
        try:
            write_status(OutputPaths(home=self.request.home, mode=Mode.PAPER), status)
        except TbotError as error:
            tell(f"the status could not be written: {error}")

    def _trades_live(self) -> bool:
        word = session_brokers(self.task.control)
        if word is not None and any(mode is BrokerMode.LIVE for _, mode in word.modes):
            return True
        return any(self.request.venue_folder.glob(f"*_{Mode.LIVE}.sqlite3"))


def tell(text: str) -> None:
    """Say it; that nobody can hear keeps nothing from being closed."""
    with suppress(OSError, ValueError):  # as the line above says
        say(text)


def _closing(trade: VenueTrade, since: Instant) -> str:
    """Return the end of a trade that was closed since; empty for any other."""
    out = trade.fills_of(entry=False)
    if not trade.flat or not out or trade.held != ZERO or (out[-1].transacted_at < since and not trade.touched):
        return ""
    quantity = sum((fill.quantity for fill in out), ZERO)
    symbol = "" if trade.instrument is None else trade.instrument.symbol
    last = out[-1]
    return f"{trade.trade_id}: {plain(quantity)} {symbol}, at last {plain(last.price)} at {iso(last.transacted_at)}"


def _held(trade: VenueTrade) -> str:
    symbol = "" if trade.instrument is None else trade.instrument.symbol
    return f"{plain(trade.held)} {symbol}"


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out what is asked for and return the exit status; takes a runner's arguments and some of its own."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.kill_switch_path", allow_abbrev=False)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--task", choices=(KILL, FLATTEN), default=KILL)
    parser.add_argument("--by", default="unknown")
    parser.add_argument("--why", default="")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--keep-positions", action="store_true")
    parser.add_argument("--broker", default="")
    parser.add_argument("--symbol", default="")
    parser.add_argument("--no-market", action="store_true")
    given, rest = parser.parse_known_args(argv)
    task = Task(
        control=given.control,
        by=given.by,
        why=given.why,
        latched=given.task == KILL,
        keep_positions=given.keep_positions,
        broker=given.broker,
        symbol=given.symbol,
        knows_market=not given.no_market,
        seconds=given.seconds,
    )
    request = RunnerArguments.parse(rest)
    with scrubbed_output(stdout=True):
        return _end_of(request, task)


def _end_of(request: RunnerArguments, task: Task) -> int:
    try:
        return asyncio.run(Run(request=request, task=task).carry_out())
    except AlreadyRunning as error:
        tell(f"a runner is alive: {error}")
        return RunnerExit.LOCKED
    except (TbotError, BrokerProblem) as error:
        tell(f"it could not be carried out: {error}")
        return RunnerExit.FAILED


if __name__ == "__main__":
    sys.exit(main())

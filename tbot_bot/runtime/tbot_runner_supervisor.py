"""The supervisor's program: settings, lock, build check and records first, then `Supervisor` until it is stopped."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tbot_bot import __version__
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, TbotError
from tbot_bot.config.settings import Settings, load_settings, settings_lines
from tbot_bot.core.identity import Mode
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.proof_waived import ProofWaived
from tbot_bot.journal.started import ProcessStarted
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.reporting.noted import ErrorRaised
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.alert_keeper import tell_once
from tbot_bot.runtime.authentication import authenticate
from tbot_bot.runtime.build_check import build_check, check_line
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.config_failure import record_failure
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.dead_man_run import close_everything, pending
from tbot_bot.runtime.fingerprint import code_fingerprint, settings_fingerprint
from tbot_bot.runtime.kill_switch import engage, engagement
from tbot_bot.runtime.kill_switch_run import carry_out_now
from tbot_bot.runtime.last_resort import nothing_vanishes, scrubbed_output
from tbot_bot.runtime.live_proof import admission, unproved
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, AlreadyRunning, Lock
from tbot_bot.runtime.market_source import is_embedded
from tbot_bot.runtime.releases import stay_in_release
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.supervisor import FAILED, KILLED, Supervisor, Workroom
from tbot_bot.runtime.supervisor_state import saved
from tbot_bot.runtime.supervisor_voice import Console
from tbot_bot.runtime.vital_signs import WatchLimits
from tbot_bot.trading.notifier_bot import Topic

BUILD_CHECK: Final = 3
_TELLING_SECONDS: Final = 8.0
"""A refused start waits so long for its alert to leave: a service manager ends what we leave behind."""
STATUS_BY_CODE: Final = {ConfigError.code: 2, AlreadyRunning.code: 4}


def run_supervisor(request: RunRequest, console: Console | None = None, limits: WatchLimits | None = None) -> int:
    """Supervise until stopped (or until the day is over) and return the exit status; `limits`: its patience.

    Raises:
        ConfigError: the settings cannot be used.
        AlreadyRunning: another supervisor holds the lock.
        TbotError: the start is not possible for another reason; it says which.
    """
    try:
        settings = _settings_of(request)
    except ConfigError as error:
        if why_not := record_failure(request.home, error):
            _complain(console, f"the failed start is not on record: {why_not}")
        _tell(request, "settings", str(error))
        raise
    bot = settings.bot
    control = request.home / settings.env.control_dir
    with ExitStack() as stack:
        stack.enter_context(Lock(control / SUPERVISOR_LOCK))
        if console is not None:
            stack.callback(console.close)
        refused = _why_not(request.home, control, console, request.home / "logs" / "bot" / "dead_man.out")
        if refused is not None:
            return refused
        report = build_check(request.home, settings)
        admitted = admission(request.home, bot, control, request.i_know)
        failures = [one for one in report.failures if not admitted.forgives(one)]
        if failures:
            for check in failures:
                _complain(console, check_line(check))
            _tell(request, "build check", "\n".join(map(check_line, failures)))
            return BUILD_CHECK
        if not is_embedded(bot):
            status, words = authenticate(request.home, settings)
            if words:
                _complain(console, words)
            if status:
                _tell(request, "brokers", words)
                return status
        records = records_for(
            request.home, Mode.LIVE, test_mode=bot.test_mode, force_paper_export=bot.force_paper_export
        )
        journal = stack.enter_context(Journal.open(records.journal, records.mode))
        log = stack.enter_context(process_log(records, "supervisor", wall_now, retention_days=bot.log_retention_days))
        started = ProcessStarted(
            at=wall_now(),
            process="supervisor",
            version=__version__,
            code_fingerprint=code_fingerprint(),
            settings_fingerprint=settings_fingerprint(settings_lines(settings)),
        )
        _note_start(journal, started, admitted.waiver(request.by or "unknown", started.at))
        log.info("start", version=__version__, code=started.code_fingerprint, settings=started.settings_fingerprint)
        room = Workroom(
            request=request,
            settings=settings,
            read_settings=lambda: _read_again(request, settings),
            records=records,
            journal=journal,
            log=log,
            console=console,
            out_today={**report.skipped, **admitted.out_today},
            limits=limits or WatchLimits(),
        )
        stack.enter_context(nothing_vanishes(lambda where, error: log.error(where, error=str(error), exc_info=error)))
        return asyncio.run(_run(room))


def _note_start(journal: Journal, started: ProcessStarted, waived: ProofWaived | None) -> None:
    """Put on record that we start, and who lets strategies trade live without a proof."""
    entries = [Entry.of(started, kind=Kind.START, at=started.at, recorded_at=started.at)]
    if waived is not None:
        entries.append(Entry.of(waived, kind=Kind.CONTROL, at=waived.at, recorded_at=waived.at))
    journal.append(entries)


def _why_not(home: Path, control: Path, console: Console | None, output: Path) -> int | None:
    """Return the exit status of a start that the kill switch forbids, None where it allows one.

    `output` takes the words of a dead-man path that has not been finished, and is now.
    """
    folder = ControlFolder(control)
    asked = folder.peek(Flag.KILL)
    if asked is not None:  # left while nobody ran: it latches now
        engage(home, control, by=asked.by, why=asked.why or asked.flag.file_name, source="flag")
        folder.take(Flag.KILL)
    found = engagement(home, control)
    if found is None:
        return None
    unfinished = pending(control)
    if unfinished is not None:  # by a supervisor that died over it, or where not all could be closed
        outcome = asyncio.run(close_everything(unfinished, control, output))
        _complain(console, f"{unfinished.session}, closed without a runner: {outcome.words}")
    if saved(control) is not None:  # a day was under way: whatever is still open is closed now
        keep = ["--keep-positions"] if found.keep_positions else []
        carried = carry_out_now(home, control, ["--why", found.why, *keep])
        _complain(console, f"the kill switch: {carried.words}")
    _complain(console, f"the kill switch is engaged {found.words}; `tbot resume --why TEXT` lets it trade again")
    return KILLED


def _tell(request: RunRequest, cause: str, text: str) -> None:
    """Have whoever gets the alerts told that there is no bot."""
    if not request.rehearsal:
        title = f"the bot did not start: {cause}"
        tell_once(
            request.home, topic=Topic.HALT, severity="critical", title=title, text=text, patience=_TELLING_SECONDS
        )


def _complain(console: Console | None, text: str) -> None:
    """Say why there is no start, to whoever may be there to read it."""
    if console is not None:
        console.close()
    sys.stderr.write(f"error: {text}\n")


async def _run(room: Workroom) -> int:
    try:
        return await Supervisor(room).run()
    except Exception as error:  # whatever it is: on record, then whoever started us decides
        room.log.exception("supervisor_failed", error=str(error))
        raised = ErrorRaised.of(error, at=wall_now())
        try:
            room.journal.append([Entry.of(raised, kind=Kind.ERROR, at=raised.at, recorded_at=raised.at)])
        except JournalWriteFailed as second:
            room.log.warning("error_not_journaled", error=str(second))
        raise


def _settings_of(request: RunRequest) -> Settings:
    overrides = dict(request.overrides)
    if request.rehearsal:
        overrides |= {"TEST_MODE": "true", "TEST_MODE_VENUE": "simulator"}
    settings = load_settings(request.home, overrides, defaults_if_absent=request.rehearsal)
    embedded = {"--day": request.day, "--data": request.data, "--seed": request.seed, "--speed": request.speed}
    wrong = [name for name, value in embedded.items() if value is not None]
    if wrong and not is_embedded(settings.bot):
        expected = f"TEST_MODE=true and TEST_MODE_VENUE=simulator: {', '.join(wrong)} choose the embedded market"
        raise ConfigError([ConfigProblem(file="command line", expected=expected)])
    return settings


def _read_again(request: RunRequest, first: Settings) -> Settings:
    """Return the settings as they are now, for a session to come.

    Raises:
        TbotError: they cannot be used, or not without a new start: journal and locks are open where the first say.
    """
    settings = _settings_of(request)
    if _places(settings) != _places(first):
        expected = (
            "TEST_MODE, TEST_MODE_VENUE, ALPACA_MODE, IBKR_MODE, FORCE_PAPER_EXPORT and CONTROL_DIR as at the start"
        )
        mend = "Change them back, or stop the bot and start it again."
        raise ConfigError([ConfigProblem(file="settings", expected=expected, mend=mend)])
    new = frozenset(settings.bot.strategies) - frozenset(first.bot.strategies)
    lacking = [one for one in unproved(request.home, settings.bot) if one.strategy in new] if new else []
    if lacking:
        problems = [
            ConfigProblem(file="settings", expected=f"{one.strategy}: {one.words}", mend=one.mend) for one in lacking
        ]
        raise ConfigError(problems)
    return settings


def _places(settings: Settings) -> tuple[object, ...]:
    """Return what cannot change under way: where records are, and which accounts were knocked at."""
    bot = settings.bot
    modes = () if bot.test_mode else (bot.alpaca_mode, bot.ibkr_mode)
    return bot.test_mode, is_embedded(bot), modes, bot.force_paper_export, settings.env.control_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Run the supervisor without a console, for service managers and `start_bot`."""
    parser = argparse.ArgumentParser(prog="python -m tbot_bot.runtime.tbot_runner_supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(), help="TBOT_HOME; the working directory")
    parser.add_argument("--once", action="store_true", help="run the rest of today and end")
    parser.add_argument("--rehearsal", action="store_true", help="test mode on the synthetic market")
    given = parser.parse_args(argv)
    with scrubbed_output():
        try:
            return run_supervisor(RunRequest(home=given.home, once=given.once, rehearsal=given.rehearsal))
        except TbotError as error:
            sys.stderr.write(f"error: {error}\n")
            return STATUS_BY_CODE.get(error.code, FAILED)


if __name__ == "__main__":
    stay_in_release()
    sys.exit(main())

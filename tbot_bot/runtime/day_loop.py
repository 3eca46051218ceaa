"""A whole recorded day in one process: `tbot dry-run`, through the very engine, journal and venue that trade."""

import asyncio
from collections.abc import Callable
from datetime import date

from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.named_files import blocked_symbols
from tbot_bot.config.settings import Settings, load_settings, settings_lines
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.commands import Decided, PhaseEntered
from tbot_bot.core.events import Event
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.core.instants import Duration
from tbot_bot.core.market_day import MarketDay
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import Entry, Journal
from tbot_bot.marketdata.recorded_loader import load_day
from tbot_bot.reporting.day_report import DayReport
from tbot_bot.reporting.noted import SessionSkipped
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime.bootstrap import screener_for, session_spec, simulated_brokers
from tbot_bot.runtime.clock import CompressedClock, monotonic_seconds, wall_now
from tbot_bot.runtime.defense_mode import DefenseRoom, defended, review
from tbot_bot.runtime.earlier_today import earlier_today, next_run
from tbot_bot.runtime.embedded_market import EmbeddedMarket
from tbot_bot.runtime.fingerprint import settings_fingerprint
from tbot_bot.runtime.ledger_desk import book_after_day
from tbot_bot.runtime.requests import DryRunRequest
from tbot_bot.runtime.schedule import DayPlan, PlannedSession, plan_day, schedule_rules
from tbot_bot.runtime.session_run import ClockPacer, Controls, FullSpeed, Pacer
from tbot_bot.runtime.session_setup import Files, Workplace, projector_for, session_of
from tbot_bot.trading.spec import SessionSpec

Progress = Callable[[str], None]


class Teller:
    """Tells a progress display of each phase that a session enters."""

    has_read_journal = True

    def __init__(self, tell: Progress) -> None:
        """Hand lines to `tell`."""
        self._tell = tell

    def session(self, spec: SessionSpec) -> None:
        """Say that a session begins."""
        self._tell(f"{spec.strategy.upper()} screens")

    def event(self, session: SessionId, event: Event, /) -> None:
        """Say nothing: inputs are many."""

    def decided(self, session: SessionId, decided: Decided, /) -> None:
        """Say which phase the session has entered."""
        for output in decided.outputs:
            if isinstance(output, PhaseEntered):
                self._tell(f"{session.strategy.upper()} {output.phase}: {output.reason}")


def dry_run(request: DryRunRequest, progress: Progress | None = None) -> DayReport:
    """Run `request.day` over recorded bars and return its end report; `progress` hears of each phase.

    Raises:
        ConfigError: the settings, or what `--set` makes of them, cannot be used.
        NotATradingDay: New York does not trade on the day.
        DataError: the data cannot be used for this day.
        JournalError: the journal cannot be read or written.
    """
    return asyncio.run(_dry_run(request, progress or (lambda _: None)))


async def _dry_run(request: DryRunRequest, progress: Progress) -> DayReport:
    began = monotonic_seconds()
    overrides = {**dict(request.overrides), "TEST_MODE": "true"}
    settings = load_settings(request.home, overrides, defaults_if_absent=True)
    bot = settings.bot
    trading_day(request.day)
    market_day = load_day(request.data, request.day, vix=request.vix)
    records = records_for(request.home, Mode.PAPER, test_mode=True)
    with (
        Journal.open(records.journal, records.mode) as journal,
        process_log(records, "dry_run", wall_now, retention_days=bot.log_retention_days) as log,
    ):
        for notice in market_day.notices:
            log.info("data", notice=notice)
        projector = projector_for(bot, journal, records)
        place = Workplace(
            records=records,
            journal=journal,
            brokers=simulated_brokers(bot, market_day),
            observers=(Files(projector, log), Teller(progress)),
            log=log,
            wall_clock=wall_now,
        )
        plan = plan_day(schedule_rules(bot), request.day)
        run = next_run(journal, request.day)
        await run_day(place, settings, plan, market_day, run=run, speed=request.speed)
        for planned in plan.sessions:
            if planned.skipped:
                projector.feed(None, skipped_note(planned, request.day))
        projector.flush()
        book_after_day(settings, records, journal, log)
        return projector.day_report(request.day, took_seconds=monotonic_seconds() - began)


async def run_day(
    place: Workplace, settings: Settings, plan: DayPlan, market_day: MarketDay, *, run: int, speed: float | None
) -> None:
    """Run the sessions of `plan` one after another; `speed` is market seconds per real second, None: no waiting."""
    inverse = load_inverse_etf_map(settings.bot.inverse_etf_map and settings.home / settings.bot.inverse_etf_map)
    fingerprint = settings_fingerprint(settings_lines(settings))
    room = DefenseRoom(
        bot=settings.bot,
        records=place.records,
        journal=place.journal,
        control=settings.home / settings.env.control_dir,
        warn=lambda title, text: place.log.warning("alert", severity="critical", title=title, text=text),
    )
    for planned in plan.sessions:
        session = SessionId(day=plan.day, strategy=planned.strategy, run=run)
        if planned.skipped:
            note_skipped(place, planned, session)
            continue
        spec = session_spec(
            settings.bot,
            planned,
            session=session,
            mode=place.records.mode,
            bar_span=Duration(market_day.span),
            inverse=inverse,
            settings_fingerprint=fingerprint,
            blocked=blocked_symbols(settings.home),
        )
        spec = defended(room, spec)
        market = EmbeddedMarket(market_day, screener_for(settings, spec))
        pacer = _pacer(planned, speed)
        earlier = earlier_today(place.journal, session, spec.windows.screen_at)
        with session_of(place, spec, market, earlier=earlier, pacer=pacer, controls=Controls([])) as (running, shell):
            shell.begin()
            await running.run()
        review(room, session, at=shell.at)


def note_skipped(place: Workplace, planned: PlannedSession, session: SessionId) -> None:
    """Record that `planned` does not take place."""
    skipped = skipped_note(planned, session.day)
    place.journal.append(
        [Entry.of(skipped, kind=Kind.NOTE, at=skipped.at, recorded_at=place.wall_clock(), session=str(session))]
    )
    place.log.info("session_skipped", session=str(session), reason=planned.skipped)


def skipped_note(planned: PlannedSession, day: date) -> SessionSkipped:
    """Return that and why `planned` does not take place."""
    return SessionSkipped(at=planned.windows.screen_at, day=day, strategy=planned.strategy, reason=planned.skipped)


def _pacer(planned: PlannedSession, speed: float | None) -> Pacer:
    """Return the pace of one session; the time between sessions is not waited for."""
    if speed is None:
        return FullSpeed()
    return ClockPacer(CompressedClock.starting_at(planned.windows.screen_at, speed))

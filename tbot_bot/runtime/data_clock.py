"""How far a session has been told the market, and by when it has to hear more."""

from tbot_bot.core.commands import Decided
from tbot_bot.core.events import BarsClosed, Event
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant, later
from tbot_bot.runtime.clock import RunClock
from tbot_bot.trading.spec import SessionSpec


class DataClock:
    """Looks on at a session's market data. A step of the grid counts even where no symbol traded in it."""

    has_read_journal = False

    def __init__(self, spec: SessionSpec, clock: RunClock) -> None:
        """Follow the session of `spec` on the market's `clock`."""
        self._windows, self._clock = spec.windows, clock
        self.until = Instant(0)
        """Market time up to which the market has been told; 0 before the first step."""

    def session(self, spec: SessionSpec) -> None:
        """Take note that the session began, or was recovered."""
        self._windows = spec.windows

    def event(self, _: SessionId, event: Event, /) -> None:
        """Take note of an input; what was caught up on says nothing about the present."""
        if isinstance(event, BarsClosed) and not event.backfill:
            self.until = max(self.until, event.at)

    def decided(self, _: SessionId, decided: Decided, /) -> None:
        """Answers are none of our business."""

    def due(self, *, ended: bool) -> Instant:
        """Return the machine's time by which the next step has to come; 0 where a session needs none any more.

        Before the bell and the session's start none is needed: it may still wait, or screen.
        """
        if ended:
            return Instant(0)
        windows = self._windows
        return self._clock.real_at(later(max(self.until, windows.bell, windows.start), windows.bar_span))

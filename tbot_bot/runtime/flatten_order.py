"""What `tbot flatten` does: our positions are closed, by the bot where one trades, else over own connections.

Nothing is latched. A session whose runner is dead when its positions are closed does not go on: its engine would
believe that it still holds them, so the next start closes what is left of it in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.identity import Mode
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.reporting.status_logger import OpenPosition, read_status
from tbot_bot.runtime.background import wait_until
from tbot_bot.runtime.clock import monotonic_seconds, wall_now
from tbot_bot.runtime.flatten_requests import Flatten, leave
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.kill_switch_order import control_of
from tbot_bot.runtime.kill_switch_run import carry_out_now
from tbot_bot.runtime.locks import RUNNER_LOCK, holder

_BEAT_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which of our positions, and for how long they are waited for."""

    why: str
    by: str
    broker: str = ""
    symbol: str = ""
    wait: float = 120.0

    def means(self, position: OpenPosition) -> bool:
        """Return whether `position` is meant."""
        return self.broker in {"", position.broker} and self.symbol in {"", position.underlying}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flattened:
    """What came of it."""

    through: str
    """`bot` or `brokers`."""
    done: bool
    closed: tuple[str, ...]
    left: tuple[str, ...]


class NobodyAnswers(TbotError):
    """A runner holds its lock and shows no sign of life."""

    code = "RUNNER_SILENT"


def flatten(home: Path, asked: Asked, tell: Callable[[str], None] = lambda _: None) -> Flattened:
    """Close what is meant and return what came of it.

    Raises:
        NobodyAnswers: a runner is there, but gives no answer; nothing was done.
        OSError: the wish could not be left for the runner.
    """
    control, _ = control_of(home)
    if holder(control / RUNNER_LOCK) is not None:
        return _by_the_bot(home, control, asked, tell)
    tell("no runner is at work: asking the venues")
    words = ["--task", "flatten", "--by", asked.by, "--why", asked.why]
    words += [part for name, value in (("--broker", asked.broker), ("--symbol", asked.symbol)) if value
              for part in (name, value)]  # fmt: skip
    carried = carry_out_now(home, control, words, seconds=asked.wait)
    flag = carried.flag
    left = () if carried.done else ((carried.words,) if flag is None else flag.left)
    return Flattened(through="brokers", done=carried.done, closed=() if flag is None else flag.closed, left=left)


def _by_the_bot(home: Path, control: Path, asked: Asked, tell: Callable[[str], None]) -> Flattened:
    deadline = monotonic_seconds() + asked.wait
    if not wait_until(lambda: _session(control) != "", _BEAT_SECONDS):
        mend = "Look at `tbot status`; `tbot kill` ends a bot that hangs and closes everything."
        raise NobodyAnswers("the runner gives no sign of life", where="control/runner.json", mend=mend)
    before = _open(home, asked)
    wish = Flatten(
        session=_session(control), by=asked.by, why=asked.why, broker=asked.broker, symbol=asked.symbol
    )  # fmt: skip
    path = leave(control, wish)
    while (path.exists() or _open(home, asked)) and monotonic_seconds() < deadline:
        if holder(control / RUNNER_LOCK) is None:
            break  # it ended, and closed what it held before that
        tell(f"{len(_open(home, asked))} positions are still open")
        wait_until(lambda: False, _POLL_SECONDS)
    still = _open(home, asked) if holder(control / RUNNER_LOCK) is not None else {}
    untaken = path.exists()
    path.unlink(missing_ok=True)  # what nobody has taken by now shall not come true later
    left = (*still.values(), *(("the runner did not take the wish",) if untaken and before else ()))
    closed = tuple(words for trade, words in before.items() if trade not in still)
    return Flattened(through="bot", done=not left, closed=() if untaken else closed, left=left)


def _session(control: Path) -> str:
    beat = read_beat(control)
    alive = beat is not None and beat.pid == holder(control / RUNNER_LOCK)
    return beat.session if beat is not None and alive else ""


def _open(home: Path, asked: Asked) -> dict[str, str]:
    """Return what is meant of the bot's open positions, as its status says; by trade."""
    status = read_status(OutputPaths(home=home, mode=Mode.PAPER).status, wall_now()).status
    return {
        position.trade_id: f"{position.trade_id}: {position.quantity} {position.symbol}"
        for position in (() if status is None else status.positions)
        if asked.means(position)
    }


__all__ = ["Asked", "Flattened", "NobodyAnswers", "flatten"]

"""Commands by which a person decides: confirm and decline waiting signals, release the kill switch."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, complain, emit_json, user_name
from tbot_bot.runtime.cli_run import Json, Why

if TYPE_CHECKING:
    from pathlib import Path

    from tbot_bot.core.events import ControlKind
    from tbot_bot.reporting.status_logger import BotStatus
    from tbot_bot.runtime.decisions import Fate

_PATIENCE_SECONDS: Final = 10.0
Trade = Annotated[str, typer.Argument(metavar="[ID]", help="Id of the waiting signal; without it, list what waits.")]


def confirm(trade: Trade = "", *, why: Why = "", as_json: Json = False) -> int:
    """Let a waiting signal become an order. Without an id: list what waits."""
    from tbot_bot.core.events import ControlKind  # noqa: PLC0415 - `--help` stays fast

    return _decide(ControlKind.CONFIRM, trade, why, as_json=as_json)


def decline(trade: Trade = "", *, why: Why = "", as_json: Json = False) -> int:
    """Turn a waiting signal down. Without an id: list what waits."""
    from tbot_bot.core.events import ControlKind  # noqa: PLC0415 - `--help` stays fast

    return _decide(ControlKind.DECLINE, trade, why, as_json=as_json)


def resume(*, why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the journal.")]) -> int:
    """Release the kill switch. The next start trades again."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import resume as release  # noqa: PLC0415
    from tbot_bot.runtime.background import control_path  # noqa: PLC0415
    from tbot_bot.runtime.dead_man_run import pending  # noqa: PLC0415

    left = pending(control_path(tbot_home()))
    released = release.resume(tbot_home(), by=user_name("tbot resume"), why=why)
    typer.echo(f"the kill switch is released; it was engaged {released.engaged}")
    if left is not None:
        complain(
            f"positions of {left.session} could not be closed; compare the account with the broker's before a start"
        )
    typer.echo("nothing was started: `tbot start` does that")
    return DONE


def _decide(kind: "ControlKind", trade: str, why: str, *, as_json: bool) -> int:
    """Hand the answer to the runner and say what came of it; exit status 0 where it came about as asked."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.events import ControlKind  # noqa: PLC0415
    from tbot_bot.runtime.background import control_path, wait_until  # noqa: PLC0415
    from tbot_bot.runtime.decisions import Decision, Stand, leave  # noqa: PLC0415

    home = tbot_home()
    control = control_path(home)
    status = _present(home, control)
    if not trade:
        return _list(status, as_json=as_json)
    if status is None or all(signal.trade_id != trade for signal in status.waiting):
        complain(_why_not(home, status, trade))
        return FAILED
    path = leave(control, Decision(kind=kind, trade_id=trade, by=user_name(f"tbot {kind}"), why=why))

    def decided() -> bool:
        now = _present(home, control)
        return not path.exists() and (now is None or all(signal.trade_id != trade for signal in now.waiting))

    if not wait_until(decided, _PATIENCE_SECONDS):
        complain(f"the bot has not answered yet; it still will if it lives. `tbot status` shows whether {trade} waits")
        return FAILED
    fate = _fate(home, status, trade)
    went = fate.stand is (Stand.GOES_AHEAD if kind is ControlKind.CONFIRM else Stand.DROPPED)
    done = "confirmed" if kind is ControlKind.CONFIRM else "declined"
    if as_json:
        emit_json({"id": trade, "decision": kind.value, "done": went, "outcome": fate.words})
    elif went:
        typer.echo(f"{trade} is {done}: {fate.words}")
    else:
        complain(f"{trade} was to be {done}, but {fate.stand.value}: {fate.words}")
    return DONE if went else FAILED


def _present(home: "Path", control: "Path") -> "BotStatus | None":
    """Return the status of the bot that runs now; None where none does."""
    from tbot_bot.core.identity import Mode  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.report_router import OutputPaths  # noqa: PLC0415
    from tbot_bot.reporting.status_logger import read_status  # noqa: PLC0415
    from tbot_bot.runtime.background import is_at_work  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    if not is_at_work(control):
        return None
    return read_status(OutputPaths(home=home, mode=Mode.PAPER).status, wall_now()).status


def _list(status: "BotStatus | None", *, as_json: bool) -> int:
    from tbot_bot.reporting.shapes import to_plain  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.status_bot import waiting_line  # noqa: PLC0415

    waiting = () if status is None else status.waiting
    if as_json:
        rows: list[JsonValue] = [to_plain(signal) for signal in waiting]
        emit_json({"waiting": rows})
        return DONE
    for signal in waiting:
        typer.echo(waiting_line(signal))
    if not waiting:
        typer.echo("no signal waits for confirmation" + ("; no bot is running" if status is None else ""))
    return DONE


def _why_not(home: "Path", status: "BotStatus | None", trade: str) -> str:
    """Return in words why `trade` cannot be decided, and what can."""
    from tbot_bot.runtime.decisions import Stand  # noqa: PLC0415 - `--help` stays fast

    fate = _fate(home, status, trade)
    if fate.stand is Stand.UNKNOWN:
        first = f"{trade}: no signal of this id ever waited"
    elif fate.stand is Stand.WAITS:
        first = f"{trade} waits, but the bot is not there to take an answer"
    else:
        first = f"{trade} waits no longer ({fate.stand.value}: {fate.words})"
    if status is None:
        return f"{first}. No bot is running, so nothing waits"
    ids = ", ".join(signal.trade_id for signal in status.waiting) or "nothing"
    return f"{first}. Waiting now: {ids}"


def _fate(home: "Path", status: "BotStatus | None", trade: str) -> "Fate":
    """Return what the journal knows of `trade`: the journal of the running bot's mode, else whichever knows it."""
    from tbot_bot.core.identity import Mode  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.journal.store import journal_path, open_reader  # noqa: PLC0415
    from tbot_bot.runtime.decisions import Fate, Stand, fate_of  # noqa: PLC0415

    for mode in (Mode.PAPER, Mode.LIVE) if status is None else (status.mode,):
        path = journal_path(home / "output" / "journal", mode)
        if path.exists():
            with open_reader(path) as journal:
                fate = fate_of(journal, trade)
            if fate.stand is not Stand.UNKNOWN:
                return fate
    return Fate(stand=Stand.UNKNOWN)

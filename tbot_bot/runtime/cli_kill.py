"""Commands that close positions at once: kill, flatten. They work with a dead, hung or broken bot as well."""

from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, complain, emit_json, user_name
from tbot_bot.runtime.cli_run import Json, Why
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.runtime.kill_switch_order import Killed

Wait = Annotated[float, typer.Option(metavar="SECONDS", min=1.0, help="How long to wait for everything.")]


def kill(
    *,
    why: Why = "",
    keep_positions: Annotated[
        bool, typer.Option("--keep-positions", help="Cancel entries and leave positions under their stops.")
    ] = False,
    wait: Wait = 120.0,
    as_json: Json = False,
) -> int:
    """Engage the kill switch. Everything is closed at once, and nothing trades until `tbot resume`.

    Works whether the bot runs, hangs or is dead, and without usable settings or journal. Exit status 1: something
    is left, and is listed.
    """
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import kill_switch_order as order  # noqa: PLC0415

    with waiting("engaging the kill switch") as tell:
        done = order.kill(
            tbot_home(),
            by=user_name("tbot kill"),
            why=why,
            keep_positions=keep_positions,
            patience=order.Patience(wait=wait),
            tell=tell,
        )
    _tell(done)
    if as_json:
        emit_json({**done.flag.plain(), "took_over": done.took_over})
    else:
        _say(done)
    return DONE if done.flag.done else FAILED


def flatten(
    *,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the journal.")],
    broker: Annotated[str, typer.Option(metavar="NAME", help="Only at this broker.")] = "",
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="Only in this symbol (of a put: its stock).")] = "",
    wait: Wait = 120.0,
    as_json: Json = False,
) -> int:
    """Close our positions without the kill switch; nobody else's are touched. Exit status 1: something is left."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime import flatten_order as order  # noqa: PLC0415

    asked = order.Asked(why=why, by=user_name("tbot flatten"), broker=broker, symbol=symbol, wait=wait)
    with waiting("closing positions") as tell:
        done = order.flatten(tbot_home(), asked, tell)
    if as_json:
        lists: dict[str, JsonValue] = {"closed": list(done.closed), "left": list(done.left)}
        emit_json({"through": done.through, "done": done.done, **lists})
        return DONE if done.done else FAILED
    for words in done.closed:
        typer.echo(f"closed {words}")
    for words in done.left:
        complain(f"left: {words}")
    if not done.closed and not done.left:
        typer.echo("nothing of the kind was open")
    return DONE if done.done else FAILED


def _tell(done: "Killed") -> None:
    """Have whoever gets the alerts told now, where no bot is there that does."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.alert_keeper import tell_once  # noqa: PLC0415
    from tbot_bot.trading.notifier_bot import Topic  # noqa: PLC0415

    flag = done.flag
    left = "".join(f"\nleft: {words}" for words in flag.left)
    told = f"by {flag.by}: {flag.reason or 'no reason given'}. {flag.words}{left}"
    tell_once(tbot_home(), topic=Topic.KILL, severity="critical", title="the kill switch is engaged", text=told)


def _say(done: "Killed") -> None:
    flag = done.flag
    typer.echo(f"the kill switch is engaged by {flag.by}: {flag.reason or 'no reason given'}")
    if done.took_over:
        typer.echo(f"the bot was ended by force: {done.took_over}")
    for words in flag.cancelled:
        typer.echo(f"cancelled {words}")
    for words in flag.closed:
        typer.echo(f"closed {words}")
    for words in flag.kept:
        typer.echo(f"kept under its stop: {words}")
    for words in flag.problems:
        typer.echo(f"warning: {words}", err=True)
    for words in flag.left:
        complain(f"left: {words}")
    if flag.done:
        typer.echo(flag.words)
        typer.echo("nothing trades until `tbot resume --why TEXT`")

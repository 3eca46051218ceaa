"""Commands on alerts: alerts list, show, test, retry, send, summary."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tbot_bot.core.identity import Mode
from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, day_of, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.config.settings import Settings
    from tbot_bot.journal.store import JournalReader
    from tbot_bot.reporting.alert_senders import Letter
    from tbot_bot.reporting.outbox import Delivery, Outbox

Books = Annotated[Mode | None, typer.Option("--mode", help="Which journal; default: the one of the settings.")]
_DAY_HELP = "A trading day, such as 2025-09-02."
_SHOWN = 20


def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what was sent, from the first message on.")] = False,
    mode: Books = None,
    as_json: Json = False,
) -> int:
    """Show what waits to be sent, what was given up, and why. Exit status 1 where something was given up."""
    settings = _settings()
    with _journal(settings, mode) as journal:
        found = list(_outbox(journal).deliveries.values())
    waiting_now = [one for one in found if one.state != "done"]
    dead = [one for one in found if one.state == "dead"]
    shown = found if everything else [one for one in waiting_now if one.is_waiting or one.state == "dead"][-_SHOWN:]
    if as_json:
        emit_json([_json(one) for one in (found if everything else waiting_now)])
        return FAILED if dead else DONE
    typer.echo(_how_configured(settings))
    for one in shown:
        due = f", next {_clock(one.due_at)}" if one.state == "retrying" else ""
        told = f": {one.detail}" if one.detail else ""
        typer.echo(
            f"{one.state:<8}  {one.channel:<12}  {one.message.id}  {one.message.title}\n"
            f"          queued {_clock(one.message.at)}, {one.attempts} attempts{due}{printable(told)}"
        )
    if len(waiting_now) > len(shown):
        typer.echo(f"and {len(waiting_now) - len(shown)} older ones: tbot alerts list --json")
    sent = sum(1 for one in found if one.state == "done")
    due_now = sum(1 for one in found if one.is_waiting)
    typer.echo(f"{due_now} waiting, {len(dead)} given up, {sent} sent")
    if dead:
        typer.echo("After mending: tbot alerts test, then tbot alerts retry --all")
    return FAILED if dead else DONE


def show(
    message: Annotated[str, typer.Argument(metavar="ID", help="A message's id, as `tbot alerts list --all` says it.")],
    *,
    mode: Books = None,
    as_json: Json = False,
) -> int:
    """Print a message and what became of it at each channel."""
    with _journal(_settings(), mode) as journal:
        found = [one for one in _outbox(journal).deliveries.values() if one.message.id == message]
    if not found:
        msg = f"there is no message {message!r}; tbot alerts list --all shows their ids"
        raise typer.BadParameter(msg)
    if as_json:
        emit_json([{**_json(one), "text": one.message.text} for one in found])
        return DONE
    typer.echo(f"{found[0].message.title}\n\n{found[0].message.text or '(made from the journal when it is sent)'}\n")
    for one in found:
        typer.echo(f"{one.channel}: {one.state}, {one.attempts} attempts{': ' if one.detail else ''}{one.detail}")
    return DONE


def try_channels(*, as_json: Json = False) -> int:
    """Send a test message to every channel now, in test mode too, and say what each answers. Exit status 1: one failed.

    Visits the dead-man addresses as well.
    """
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.config.scrub import scrub  # noqa: PLC0415
    from tbot_bot.reporting.alert_senders import channels_of  # noqa: PLC0415
    from tbot_bot.runtime.alert_test import answers  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    settings = _settings()
    channels = channels_of(settings.env)
    with waiting("alerts"):
        told = asyncio.run(answers(channels, wall_now()))
    failed = any(one.problem for one in told)
    if as_json:
        each: list[JsonValue] = [
            {"channel": one.channel, "ok": not one.problem, "problem": one.problem, "seconds": round(one.seconds, 3)}
            for one in told
        ]
        emit_json({"channels": each, "half_configured": list(channels.missing)})
    else:
        for one in told:
            said = f"FAILED: {one.problem}" if one.problem else f"took it in {one.seconds:.1f} s; look whether it came"
            typer.echo(f"{one.channel:<14} {printable(scrub(said))}")
        for words in channels.missing:
            typer.echo(f"warning: {words}", err=True)
        if not told:
            typer.echo("nothing is configured: set SMTP_HOST and ALERT_EMAIL, SLACK_WEBHOOK_URL or ALERT_URLS in .env")
        elif settings.bot.test_mode and not settings.bot.alerts_in_test_mode:
            typer.echo("note: in test mode the bot itself sends none of this (ALERTS_IN_TEST_MODE=false)")
    return FAILED if failed or not told else DONE


def retry(
    message: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Messages; default: none.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything that was given up or waits.")] = False,
    as_json: Json = False,
) -> int:
    """Have messages sent again that were given up, or that wait for their next attempt. A bot does it at once."""
    from tbot_bot.core.instants import Instant  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.journal.alerts import AlertTried, Outcome  # noqa: PLC0415
    from tbot_bot.journal.chain import Kind  # noqa: PLC0415
    from tbot_bot.journal.store import Entry, Journal  # noqa: PLC0415
    from tbot_bot.runtime.alert_process import records_of  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    wanted = set(message or ())
    if bool(wanted) is everything:
        msg = "name messages, or give --all"
        raise typer.BadParameter(msg)
    settings = _settings()
    with _journal(settings, None) as reader:
        found = [one for one in _outbox(reader).deliveries.values() if one.state != "done"]
    unknown = wanted - {one.message.id for one in found}
    if unknown:
        msg = f"nothing waits under {', '.join(sorted(unknown))}; tbot alerts list shows what does"
        raise typer.BadParameter(msg)
    chosen = [one for one in found if everything or one.message.id in wanted]
    now = wall_now()
    rows = [
        AlertTried(at=now, id=one.message.id, channel=one.channel, attempt=1, outcome=Outcome.AGAIN,
                   detail="asked for by a person", due_at=Instant(now))
        for one in chosen
    ]  # fmt: skip
    records = records_of(settings.home, settings)
    with Journal.open(records.journal, records.mode) as journal:
        journal.append([Entry.of(row, kind=Kind.NOTE, at=now, recorded_at=now) for row in rows])
    if as_json:
        emit_json([_json(one) for one in chosen])
    else:
        typer.echo(f"{len(rows)} will be sent again; without a running bot: tbot alerts send")
    return DONE


def send(*, as_json: Json = False) -> int:
    """Send what waits, and what has not been told yet, without a bot: after a crash, or from cron. Refused beside one.

    Waits for the attempts that are due, 30 s at most. Exit status 1: something still waits.
    """
    import asyncio  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.runtime.alert_test import send_now  # noqa: PLC0415

    with waiting("alerts"):
        left = asyncio.run(send_now(_settings()))
    if as_json:
        emit_json([_json(one) for one in left])
    else:
        for one in left:
            typer.echo(f"waits for {one.channel}: {one.message.title}: {one.detail}")
        typer.echo("nothing waits any more" if not left else f"{len(left)} still wait: tbot alerts list")
    return FAILED if left else DONE


def summary(
    day: Annotated[str, typer.Argument(metavar="DAY", help=_DAY_HELP)],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the page here (.html) instead of printing the text.")] = None,
    mode: Books = None,
    as_json: Json = False,
) -> int:
    """Print the mail of a day, or write it as a page with its chart. Nothing is sent."""
    from tbot_bot.runtime.day_letter import day_letter  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.end_report import NothingRan  # noqa: PLC0415
    from tbot_bot.runtime.files import write_atomically  # noqa: PLC0415

    settings, wanted = _settings(), day_of(day)
    with _journal(settings, mode) as journal, waiting("the day's mail"):
        if not journal.sessions_of(wanted):
            raise NothingRan(
                f"no sessions of {day} in the {journal.mode} journal", mend="tbot journal tail shows some."
            )
        letter = day_letter(journal, settings.bot, wanted)
    if out is not None:
        write_atomically(out, _page(letter))
    if as_json:
        emit_json({"subject": letter.subject, "text": letter.text, "chart": bool(letter.images),
                   "page": None if out is None else str(out)})  # fmt: skip
    elif out is not None:
        typer.echo(f"{letter.subject}\n{out}")
    else:
        typer.echo(f"{letter.subject}\n\n{letter.text}")
    return DONE


def _page(letter: "Letter") -> str:
    """Return the mail's HTML with its pictures inside, for a browser."""
    import base64  # noqa: PLC0415 - `--help` stays fast

    page = letter.html
    for name, data in letter.images.items():
        page = page.replace(f"cid:{name}", f"data:image/png;base64,{base64.b64encode(data).decode()}")
    return page


def _settings() -> "Settings":
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415 - `--help` stays fast

    return load_settings(tbot_home(), {}, defaults_if_absent=True)


def _journal(settings: "Settings", mode: Mode | None) -> "JournalReader":
    from tbot_bot.journal.store import open_reader  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.report_router import records_for  # noqa: PLC0415
    from tbot_bot.runtime.alert_process import records_of  # noqa: PLC0415

    if mode is None:
        return open_reader(records_of(settings.home, settings).journal)
    return open_reader(records_for(settings.home, mode, test_mode=False).journal)


def _outbox(journal: "JournalReader") -> "Outbox":
    from tbot_bot.reporting.outbox import outbox_of, outbox_rows  # noqa: PLC0415 - `--help` stays fast

    return outbox_of(outbox_rows(journal), keep_done=True)


def _how_configured(settings: "Settings") -> str:
    from tbot_bot.reporting.alert_senders import channels_of  # noqa: PLC0415 - `--help` stays fast

    channels = channels_of(settings.env)
    pings = f", {len(channels.pings)} dead-man addresses" if channels.pings else ""
    off = settings.bot.test_mode and not settings.bot.alerts_in_test_mode
    words = f"channels: {', '.join(channels.names) or 'none'}{pings}"
    return f"{words}; off in test mode (ALERTS_IN_TEST_MODE=false)" if off else words


def _json(one: "Delivery") -> dict[str, JsonValue]:
    from tbot_bot.core.instants import iso  # noqa: PLC0415 - `--help` stays fast

    return {
        "id": one.message.id,
        "channel": one.channel,
        "state": one.state,
        "topic": one.message.topic,
        "severity": one.message.severity,
        "title": one.message.title,
        "queued_at": iso(one.message.at),
        "attempts": one.attempts,
        "due_at": iso(one.due_at) if one.is_waiting else None,
        "tried_at": iso(one.tried_at) if one.tried_at else None,
        "detail": one.detail,
    }


def _clock(at: int) -> str:
    from tbot_bot.core.instants import Instant, to_datetime  # noqa: PLC0415 - `--help` stays fast

    return f"{to_datetime(Instant(at)):%d %b %H:%M:%S} UTC"

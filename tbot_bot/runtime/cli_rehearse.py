"""The command `tbot rehearse`: a whole day at both brokers' stand-ins, with every fault, and what it came to."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, day_of, emit_json, pairs_of, speed_of
from tbot_bot.runtime.cli_run import Json, Sets, Vix

if TYPE_CHECKING:
    from tbot_bot.runtime.rehearsal import RehearsalRequest, SandboxProcess
    from tbot_bot.runtime.rehearsal_verdict import Verdict

_OFTEN: Final = frozenset({"duplicated", "reordered"})
"""Kinds that strike too often to be shown one by one."""
_STATUS_SECONDS: Final = 10.0


def speed_number(text: str) -> str:
    """Read a speed.

    Raises:
        typer.BadParameter: none, or `max`.
    """
    found = speed_of(text)
    if found is None:
        msg = "max is for dry runs; give a number such as 60"
        raise typer.BadParameter(msg)
    return str(found)


def rehearse(
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Recorded bars (Parquet or CSV) instead of synthetic ones.")
    ] = None,
    day: Annotated[
        date | None, typer.Option(parser=day_of, metavar="DAY", help="Trading day of the recorded bars.")
    ] = None,
    vix: Vix = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="NUMBER", help="Of the synthetic market.")] = None,
    speed: Annotated[
        str, typer.Option(parser=speed_number, metavar="NUMBER", help="Market seconds a second; about 60 suits.")
    ] = "60",
    short: Annotated[bool, typer.Option("--short", help="One short session of 45 seconds, not the day.")] = False,
    folder: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where everything is kept; a new or an empty folder.")
    ] = None,
    settings: Sets = None,
    as_json: Json = False,
) -> int:
    """Rehearse a day at Alpaca and IBKR stand-ins while everything goes wrong, and compare the books.

    Starts a sandbox, a supervisor and its runners. Nothing leaves the machine; your settings are not used.
    """
    from tbot_bot.runtime.rehearsal import RehearsalRequest, furnish, sandbox, supervise  # noqa: PLC0415 - see cli.py
    from tbot_bot.runtime.rehearsal_plan import fault_plan, plan_seed  # noqa: PLC0415
    from tbot_bot.runtime.rehearsal_verdict import verdict_of  # noqa: PLC0415
    from tbot_bot.runtime.requests import REHEARSAL_DAY  # noqa: PLC0415
    from tbot_bot.sandbox.fault_file import plan_plain  # noqa: PLC0415

    request = RehearsalRequest(
        folder=_folder(folder),
        day=day or REHEARSAL_DAY,
        data=None if data is None else data.absolute(),
        vix=None if vix is None else vix.absolute(),
        seed=seed,
        speed=float(speed),
        short=short,
        overrides=pairs_of(settings),
    )
    progress = _Progress(request, quiet=as_json)
    with sandbox(request) as venue:
        planned = fault_plan(venue.symbols(), request.scene, speed=request.speed)
        venue.ask("PUT", "/faults", plan_plain([one.rule for one in planned], plan_seed()))
        furnish(request, venue)
        progress.begin(venue, len(planned))
        status = supervise(request, progress.look)
        truth, struck = venue.ask("GET", "/truth"), venue.ask("GET", "/faults/struck")
    _keep(request.folder, truth=truth, struck=struck)
    found = verdict_of(request, planned, truth=truth, struck=struck, anchor=venue.anchor, status=status)
    if as_json:
        emit_json(_plain(request, found))
    else:
        _show(request, found)
    return DONE if found.passed else FAILED


def _folder(given: Path | None) -> Path:
    from tbot_bot.config.error_handler import MachineError  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.core.instants import to_datetime  # noqa: PLC0415
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415

    name = to_datetime(wall_now()).strftime("%Y%m%dT%H%M%SZ")
    folder = (given or tbot_home() / "output" / "rehearsals" / name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise MachineError("is not empty", where=str(folder), mend="Give a new folder, or leave --folder out.")
    return folder


def _keep(folder: Path, **told: JsonValue) -> None:
    import json  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.runtime.files import write_atomically  # noqa: PLC0415

    for name, value in told.items():
        write_atomically(folder / f"{name}.json", json.dumps(value, indent=1) + "\n")


class _Progress:
    """Shows faults as they strike, and now and then how far the day is."""

    def __init__(self, request: "RehearsalRequest", *, quiet: bool) -> None:
        self._request, self._quiet = request, quiet
        self._venue: SandboxProcess | None = None
        self._seen, self._status_at = 0, 0.0

    def begin(self, venue: "SandboxProcess", faults: int) -> None:
        self._venue = venue
        request = self._request
        length = "one short session" if request.short else "the whole day"
        self._say(f"rehearsing {request.day}, {length}, at {request.speed:g}x, {faults} faults planned")
        self._say(f"everything is kept in {request.folder}")

    def look(self) -> None:
        """Show what is new."""
        if self._venue is None or self._quiet:
            return
        from tbot_bot.config.error_handler import MachineError  # noqa: PLC0415 - `--help` stays fast
        from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415
        from tbot_bot.runtime.rehearsal_verdict import strikes_of  # noqa: PLC0415

        try:
            strikes = strikes_of(self._venue.ask("GET", "/faults/struck"))
            if monotonic_seconds() - self._status_at >= _STATUS_SECONDS:
                self._status_at = monotonic_seconds()
                self._say(self._status(self._venue))
        except MachineError as error:
            self._say(str(error))
            return
        for strike in strikes[self._seen :]:
            if strike.kind not in _OFTEN:
                status = f" {strike.status}" if strike.kind.startswith("status") else ""
                self._say(f"{_new_york(strike.at)}  {strike.vendor} {strike.place} {strike.kind}{status}")
        self._seen = len(strikes)

    def _status(self, venue: "SandboxProcess") -> str:
        from tbot_bot.core.instants import parse_iso  # noqa: PLC0415 - `--help` stays fast
        from tbot_bot.runtime.rehearsal_audit import read_accounts  # noqa: PLC0415

        truth = venue.ask("GET", "/truth")
        at = _new_york(parse_iso(str(truth["at"]))) if isinstance(truth, dict) else ""
        held = [
            f"{one.name} {len(one.orders)} orders, {one.fills} executions, {one.positions} open"
            for one in read_accounts(truth)
        ]
        return f"{at}  {'; '.join(held)}"

    def _say(self, text: str) -> None:
        if not self._quiet:
            typer.echo(text)


def _new_york(at: int) -> str:
    from tbot_bot.core.calendar import exchange_time  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.core.instants import Instant  # noqa: PLC0415

    return exchange_time(Instant(at)).strftime("%H:%M:%S")


def _show(request: "RehearsalRequest", found: "Verdict") -> None:
    typer.echo("")
    typer.echo(f"Sessions: {', '.join(found.sessions) or 'none'}; {found.trades} trades entered,")
    typer.echo(f"{found.orders} orders, {found.executions} executions, {found.alarms} alarms in the journal")
    rows = [(line.what, line.venue, line.ours, line.agrees) for line in (*found.books, *found.proofs)]
    typer.echo("")
    _table(("Books", "venue", "ours"), [(what, venue, ours) for what, venue, ours, _ in rows], [row[3] for row in rows])
    typer.echo("")
    faults = [(line.fault, str(line.struck), line.alarm) for line in found.faults]
    _table(("Fault", "met", "to be heard"), faults, [line.agrees for line in found.faults])
    typer.echo("")
    for text in found.differing:
        typer.echo(f"differs: {text}")
    typer.echo("The rehearsal passed." if found.passed else f"The rehearsal failed: {len(found.differing)} differ.")
    typer.echo(f"Records: {request.folder} (what the supervisor said: supervisor.out)")


def _table(head: tuple[str, str, str], rows: Sequence[tuple[str, str, str]], good: Sequence[bool]) -> None:
    shown = [(*row, "" if fits else "DIFFERS") for row, fits in zip(rows, good, strict=True)]
    first = max(len(row[0]) for row in (head, *rows))
    second = min(max(len(row[1]) for row in (head, *rows)), 24)
    for what, one, other, mark in ((*head, ""), *shown):
        typer.echo(f"  {what:<{first}}  {one:>{second}}  {other:<13}  {mark}".rstrip())


def _plain(request: "RehearsalRequest", found: "Verdict") -> JsonValue:
    return {
        "day": request.day.isoformat(),
        "speed": request.speed,
        "folder": str(request.folder),
        "passed": found.passed,
        "differing": list(found.differing),
        "sessions": list(found.sessions),
        "orders": found.orders,
        "executions": found.executions,
        "trades": found.trades,
        "alarms": found.alarms,
        "books": [
            {"what": line.what, "venue": line.venue, "ours": line.ours} for line in (*found.books, *found.proofs)
        ],
        "faults": [
            {"fault": line.fault, "struck": line.struck, "alarm": line.alarm, "missed": list(line.missed)}
            for line in found.faults
        ],
    }

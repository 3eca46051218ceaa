"""Commands on backups: backup create, list, verify, restore, drill, key."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime.cli_output import DONE, FAILED, JsonValue, console, emit_json, printable
from tbot_bot.runtime.cli_run import Json
from tbot_bot.runtime.cli_work import waiting

if TYPE_CHECKING:
    from tbot_bot.reporting.auto_backup import BackupRoom
    from tbot_bot.reporting.backup_keys import BackupKey
    from tbot_bot.reporting.backup_shelf import Shelved

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="File with the key to open it; default: ENCRYPTION_KEY."),
]
_DAY_SECONDS: Final = 86_400
_AGE_DAYS: Final = 4
"""A long weekend and a day: then nobody makes backups any more."""
_KIB: Final = 1024


def create(
    *,
    local: Annotated[bool, typer.Option("--local", help="Only here; send nothing to the remotes.")] = False,
    as_json: Json = False,
) -> int:
    """Make a backup, read it back, and send the remotes what they lack. May be done while the bot runs."""
    from tbot_bot.reporting.auto_backup import Replicated, look_through, make_backup, replicate  # noqa: PLC0415

    room = _room()
    with waiting("backup") as say:
        look_through(room)
        made = make_backup(room)
        say("copies")
        copied = Replicated() if local else replicate(room)
    made = room.shelf.entry(made.name)
    if as_json:
        failures: list[JsonValue] = list(copied.failures)
        emit_json({"backup": _json(made), "sent": list(copied.sent), "removed": list(copied.removed),
                   "failures": failures})  # fmt: skip
    else:
        typer.echo(f"{made.path}: {_size(made.bytes)}, read back and whole")
        for line in copied.sent:
            typer.echo(f"copied: {line}")
        for line in copied.removed:
            typer.echo(f"out of the retention: {line}")
    for failure in copied.failures:
        typer.echo(f"error: not copied: {printable(failure)}", err=True)
    return FAILED if copied.failures else DONE


def list_backups(
    *,
    remote: Annotated[bool, typer.Option("--remote", help="Ask the remotes too what lies there.")] = False,
    as_json: Json = False,
) -> int:
    """List the backups, oldest first, and which of them count as good."""
    room = _room()
    found = [each for each in room.shelf.entries() if each.name.mode is room.mode]
    there: dict[str, list[str]] = {}
    if remote:
        with waiting("asking the remotes"):
            for place in room.remotes:
                sizes = place.sizes()
                for each in found:
                    if sizes.get(str(each.name)) == each.bytes:
                        there.setdefault(str(each.name), []).append(place.shown)
    if as_json:
        rows: list[JsonValue] = []
        for each in found:
            told = _json(each)
            rows.append({**told, "there_now": list(there.get(str(each.name), ()))} if remote else told)
        emit_json({"backups": rows, "foreign": list(room.shelf.foreign())})
        return DONE
    if not found:
        typer.echo(f"no backups of mode {room.mode} in {room.shelf.folder}; `tbot backup create` makes one")
    out = console()
    for each in found:
        copies = there.get(str(each.name), []) if remote else list(each.card.copies if each.card else ())
        where = f"  also at {', '.join(copies)}" if copies else ""
        out.print(f"{each.name}  {_size(each.bytes):>9}  {_state(each)}{where}", soft_wrap=True, highlight=False)
    return DONE


def verify(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A backup's name or path; default: the newest.")] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="All backups of this mode.")] = False,
    key_file: KeyFile = None,
    max_age_days: Annotated[
        int, typer.Option(metavar="DAYS", min=0, help="Without NAME: how old the newest may be; 0: any age.")
    ] = _AGE_DAYS,
    as_json: Json = False,
) -> int:
    """Read backups to their end and compare every file with the manifest. Exit status 1: what is wrong is named."""
    from tbot_bot.reporting.backup_archive import read_archive  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.reporting.backup_errors import BackupDamaged, Damage  # noqa: PLC0415

    room = _room()
    key = _key(room, key_file)
    paths = [_path(room, name)] if name else _chosen(room, every=every)
    faults: list[JsonValue] = [] if name else list(_folder_faults(room, max_age_days))
    sound: list[JsonValue] = []
    for path in paths:
        with waiting(f"reading {path.name}"):
            try:
                manifest = read_archive(path, key)
            except BackupDamaged as error:
                if error.damage is not Damage.WRONG_KEY and path.parent == room.shelf.folder:
                    (room.shelf.folder / f"{path.name}.json").unlink(missing_ok=True)  # it counts as good no longer
                faults.append({"name": path.name, "damage": error.damage.value, "problem": str(error)})
                continue
        sound.append({"name": path.name, "files": len(manifest.files), "journal_rows": manifest.journal_rows,
                      "journal_head": manifest.journal_head, "notes": list(manifest.notes)})  # fmt: skip
    if as_json:
        emit_json({"ok": not faults, "sound": sound, "faults": faults})
        return FAILED if faults else DONE
    for each in sound:
        assert isinstance(each, dict)  # noqa: S101 - made above
        typer.echo(f"{each['name']} is whole: {each['files']} files, {each['journal_rows']} rows of the journal")
    for fault in faults:
        assert isinstance(fault, dict)  # noqa: S101 - made above
        typer.echo(f"error: {fault['damage']}: {printable(str(fault['problem']))}", err=True)
    return FAILED if faults else DONE


def restore(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A backup's name or path.")],
    *,
    into: Annotated[Path, typer.Option("--into", metavar="FOLDER", help="An empty or a new folder.")],
    key_file: KeyFile = None,
    as_json: Json = False,
) -> int:
    """Restore a backup into an empty folder; check the chain, make every file for people anew and compare."""
    from tbot_bot.reporting import backup_drill  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415

    room = _room()
    path = _path(room, name)
    key = _key(room, key_file)
    scratch = into.absolute().with_name(f".{into.absolute().name}.scratch")
    with waiting(f"restoring {path.name}"):
        done = backup_drill.restore(path, key, into.absolute(), scratch, monotonic_seconds)
    found = done.judgement
    if as_json:
        told: dict[str, JsonValue] = {
            "name": done.name,
            "into": str(into.absolute()),
            "files": len(done.manifest.files),
            "rows": found.rows,
            "tapes": found.tapes,
            "databases": found.databases,
            "same": list(found.same),
            "behind": list(found.behind),
            "notes": list(done.manifest.notes),
            "unpack_seconds": round(done.unpack_seconds, 3),
            "verify_seconds": round(found.verify_seconds, 3),
            "rebuild_seconds": round(found.rebuild_seconds, 3),
        }
        emit_json(told)
        return DONE
    typer.echo(f"restored {len(done.manifest.files)} files into {into}: {done.unpack_seconds:.1f} s")
    typer.echo(f"chain sound: {found.rows} rows, {found.tapes} tapes, {found.databases} further databases: "
               f"{found.verify_seconds:.1f} s")  # fmt: skip
    typer.echo(f"files for people made anew: {len(found.same)} the same byte for byte, "
               f"{len(found.behind)} as of an earlier row: {found.rebuild_seconds:.1f} s")  # fmt: skip
    for note in done.manifest.notes:
        typer.echo(f"note: {printable(note)}", err=True)
    return DONE


def drill(*, as_json: Json = False) -> int:
    """Fetch the newest backup from a remote, restore it into a scratch folder and prove it. Remotes take turns."""
    from dataclasses import asdict  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.reporting import backup_drill  # noqa: PLC0415
    from tbot_bot.runtime.clock import monotonic_seconds  # noqa: PLC0415

    room = _room()
    with waiting("restore drill"):
        held = backup_drill.drill(room, monotonic_seconds)
    if as_json:
        emit_json(asdict(held))
    elif held.ok:
        typer.echo(str(held))
    else:
        typer.echo(f"error: {printable(str(held))}", err=True)
    return DONE if held.ok else FAILED


def key(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the private key, mode 0600.")],
    as_json: Json = False,
) -> int:
    """Make a pair of keys for BACKUP_RECIPIENT_KEY. The private one belongs away from this machine."""
    import os  # noqa: PLC0415 - `--help` stays fast

    from tbot_bot.reporting.backup_keys import RecipientKey  # noqa: PLC0415

    pair = RecipientKey.generate()
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise TbotError("there is a file already", where=str(out), mend="Name another with --out.") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{pair.private_text}\n")
    if as_json:
        emit_json({"id": pair.id, "public": pair.text, "private_file": str(out)})
        return DONE
    typer.echo(f"BACKUP_RECIPIENT_KEY={pair.text}")
    typer.echo(f"The private key (id {pair.id}) is in {out}: carry it to a safe place, then remove it here.", err=True)
    return DONE


def _room() -> "BackupRoom":
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415
    from tbot_bot.runtime.backup_job import room_at  # noqa: PLC0415

    return room_at(load_settings(tbot_home(), {}, defaults_if_absent=True))


def _key(room: "BackupRoom", key_file: Path | None) -> "BackupKey":
    from tbot_bot.reporting.auto_backup import require_key  # noqa: PLC0415
    from tbot_bot.reporting.backup_keys import key_of_file  # noqa: PLC0415

    if key_file is None:
        return require_key(room)
    try:
        return key_of_file(key_file.read_text(encoding="utf-8"))
    except ValueError as error:  # a UnicodeDecodeError is one too
        said = "this is no text" if isinstance(error, UnicodeDecodeError) else f"expected {error}"
        raise TbotError(said, where=str(key_file), mend="Name the file with the key.") from None


def _path(room: "BackupRoom", name: str) -> Path:
    """Return the backup that `name` means: a path, or a name in the folder of the backups."""
    given = Path(name)
    return given if given.parent != Path() or given.exists() else room.shelf.folder / name


def _chosen(room: "BackupRoom", *, every: bool) -> list[Path]:
    found = [each for each in room.shelf.entries() if each.name.mode is room.mode and each.bytes >= 0]
    if every:
        return [each.path for each in found]
    newest = {each.name.what: each for each in found}  # the last of each kind stays
    return [each.path for each in newest.values()]


def _folder_faults(room: "BackupRoom", max_age_days: int) -> list[JsonValue]:
    """Return what is wrong with the folder as a whole."""
    from tbot_bot.core.instants import SECOND  # noqa: PLC0415
    from tbot_bot.reporting.backup_errors import Damage  # noqa: PLC0415
    from tbot_bot.reporting.backup_names import What  # noqa: PLC0415

    faults: list[tuple[str, Damage, str]] = [
        (name, Damage.FOREIGN, f"{name}: a foreign file lies among the backups. Move it away.")
        for name in room.shelf.foreign()
    ]
    entries = [each for each in room.shelf.entries() if each.name.mode is room.mode]
    faults += [
        (str(each.name), Damage.MISSING_FILE, f"{each.name}: its card is there and it is not. Fetch a copy.")
        for each in entries
        if each.bytes < 0
    ]
    made = [each.name.made_at for each in entries if each.name.what is What.RECORDS and each.bytes >= 0]
    folder = str(room.shelf.folder)
    if not made:
        faults.append((folder, Damage.MISSING_FILE, f"{folder}: there is no backup. `tbot backup create` makes one."))
    elif max_age_days and room.now() - max(made) > max_age_days * _DAY_SECONDS * SECOND:
        days = (room.now() - max(made)) // (_DAY_SECONDS * SECOND)
        what = f"{folder}: the newest backup is {days} days old. Look why the supervisor makes none."
        faults.append((folder, Damage.MISSING_FILE, what))
    return [{"name": name, "damage": damage.value, "problem": problem} for name, damage, problem in faults]


def _state(each: "Shelved") -> str:
    if each.bytes < 0:
        return "missing: only its card is here"
    if each.card is None:
        return "not proven: `tbot backup verify` reads it"
    return "good" if each.is_good else f"damaged: {each.bytes} bytes, its card says {each.card.bytes}"


def _size(count: int) -> str:
    if count < 0:
        return "-"
    if count < _KIB * _KIB:
        return f"{count / _KIB:.0f} KiB"
    return f"{count / _KIB / _KIB:.1f} MiB"


def _json(each: "Shelved") -> dict[str, JsonValue]:
    from tbot_bot.core.instants import iso  # noqa: PLC0415

    card = each.card
    return {
        "name": str(each.name),
        "what": each.name.what.value,
        "mode": each.name.mode.value,
        "made_at": iso(each.name.made_at),
        "bytes": None if each.bytes < 0 else each.bytes,
        "good": each.is_good,
        "state": _state(each),
        "sha256": None if card is None else card.sha256,
        "verified_at": None if card is None else iso(card.verified_at),
        "copies": [] if card is None else list(card.copies),
    }


__all__ = ["create", "drill", "key", "list_backups", "restore", "verify"]

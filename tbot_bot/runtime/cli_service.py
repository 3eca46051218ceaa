"""Commands for the service manager: service install, service status. Nothing is enabled, started or stopped by them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.config.error_handler import TbotError
from tbot_bot.runtime.cli_output import DONE, JsonValue, emit_json
from tbot_bot.runtime.cli_run import Json

if TYPE_CHECKING:
    from tbot_bot.runtime.service_units import Place, UnitFile

UNIT_FOLDER: Final = Path("/etc/systemd/system")
Dest = Annotated[Path, typer.Option("--dest", metavar="DIR", help="Folder of the unit files.")]


def install(
    *,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="Account to run as; default: the home folder's owner.")
    ] = "",
    home: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Folder of settings and records; default: TBOT_HOME.")
    ] = None,
    dest: Dest = UNIT_FOLDER,
    credential: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Encrypted key of .env_bot.enc, made by systemd-creds.")
    ] = None,
    memory_max: Annotated[str, typer.Option(metavar="SIZE", help="Memory that the bot may use, such as 1G.")] = "1G",
    web: Annotated[bool, typer.Option("--web", help="Write the dashboard's service as well.")] = False,
    guard: Annotated[bool, typer.Option("--guard", help="Write the dead-man's switch's service as well.")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the units; write nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Write the systemd units of this installation. Nothing is enabled or started."""
    place = _place(home, user, memory_max)
    files, left_out = _units(place, credential, web=web, guard=guard)
    if only_print:
        _print_units(files, dest, as_json=as_json)
        return DONE
    if sys.platform != "linux" and dest == UNIT_FOLDER:
        raise TbotError(
            "systemd is for Linux", where=sys.platform, mend="Say --print, or --dest with a folder to carry them away."
        )
    written = _write(files, dest)
    _make_folders(place)
    told = _next_commands(files, place)
    if as_json:
        emit_json({"folder": str(dest), "files": written, "left_out": left_out, "next": told})
        return DONE
    for name, what in written.items():
        typer.echo(f"{what}: {dest / name}")
    for reason in left_out:
        typer.echo(f"left out: {reason}")
    typer.echo("Nothing is enabled yet. Next, as root:")
    for line in told:
        typer.echo(f"  {line}")
    return DONE


def status(*, dest: Dest = UNIT_FOLDER, as_json: Json = False) -> int:
    """Say whether the service is installed, enabled and active."""
    from tbot_bot.runtime.service_state import service_state  # noqa: PLC0415 - `--help` stays fast

    found = service_state(dest)
    if as_json:
        said: dict[str, JsonValue] = {
            "installed": found.installed,
            "unit": found.unit,
            "enabled": found.enabled,
            "active": found.active,
            "says": found.says,
            "restarts": found.restarts,
            "unknown_because": found.unknown_because,
        }
        emit_json(said)
        return DONE
    typer.echo(f"installed: {found.unit if found.installed else f'no ({found.unit} is not there)'}")
    if found.unknown_because:
        typer.echo(f"enabled, active: not known; {found.unknown_because}")
        return DONE
    typer.echo(f"enabled: {found.enabled}")
    typer.echo(f"active: {found.active}{f' - {found.says}' if found.says else ''}")
    if found.restarts:
        typer.echo(f"restarted by systemd: {found.restarts} times since it was started")
    return DONE


def _units(place: "Place", credential: Path | None, *, web: bool, guard: bool) -> "tuple[list[UnitFile], list[str]]":
    """Return the files to write, and what is left out and why."""
    from tbot_bot.runtime import service_units  # noqa: PLC0415 - `--help` stays fast

    files, left_out = [service_units.bot_unit(place)], []
    if credential is not None:
        files.append(service_units.credential_drop_in(credential.absolute()))
    if _has_command("backup"):
        files += service_units.backup_check_units(place)
        if credential is not None:
            unit = f"{service_units.BACKUP_CHECK}.service"
            files.append(service_units.credential_drop_in(credential.absolute(), unit))
    else:
        left_out.append(
            f"{service_units.BACKUP_CHECK}.timer: this version has no `tbot backup verify` that it could run"
        )
    if web and not _has_command("web"):
        raise TbotError(
            "this version has no dashboard", where="--web", mend="Leave --web out; `tbot --help` lists what there is."
        )
    if web:
        files.append(service_units.web_unit(place))
    if guard:
        files.append(service_units.guard_unit(place))
        if credential is not None:
            files.append(service_units.credential_drop_in(credential.absolute(), service_units.GUARD))
    return files, left_out


def _place(home: Path | None, user: str, memory_max: str) -> "Place":
    import tbot_bot  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415
    from tbot_bot.runtime.background import control_path  # noqa: PLC0415
    from tbot_bot.runtime.service_units import Place  # noqa: PLC0415

    folder = (home or tbot_home()).absolute()
    if not folder.is_dir():
        raise TbotError("no such folder", where=str(folder), mend="Make it, or name another with --home.")
    python = Path(sys.executable).absolute()
    return Place(
        user=user or _owner(folder),
        home=folder,
        writable=(control_path(folder), *(folder / name for name in ("output", "logs", "backups"))),
        python=python,
        code=(Path(tbot_bot.__file__).resolve().parent, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()),
        memory_max=_size(memory_max),
    )


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:
        raise TbotError(
            "this folder's owner has no name here", where=str(folder), mend="Name an account with --user."
        ) from None


def _size(text: str) -> str:
    if not text[:-1].isdigit() or text[-1] not in "MG":
        msg = f"{text!r} is not a size; write a whole number and M or G, such as 1G"
        raise typer.BadParameter(msg, param_hint="'--memory-max'")
    return text


def _has_command(name: str) -> bool:
    """Return whether `tbot NAME` exists: a unit that starts what is not there would only fail every day."""
    from tbot_bot.runtime.cli import app  # noqa: PLC0415 - it registers us

    return name in {
        *(command.name for command in app.registered_commands),
        *(group.name for group in app.registered_groups),
    }


def _print_units(files: "list[UnitFile]", dest: Path, *, as_json: bool) -> None:
    if as_json:
        emit_json({"folder": str(dest), "units": {file.name: file.text for file in files}})
        return
    typer.echo("\n".join(f"# ---- {dest / file.name}\n{file.text}" for file in files), nl=False)


def _write(files: "list[UnitFile]", dest: Path) -> dict[str, str]:
    """Write the units, each whole or not at all, and return what became of each; a file of somebody else's is kept.

    Raises:
        TbotError: a unit of that name is not ours, or the folder is not there or may not be written to.
    """
    from tbot_bot.runtime.files import write_atomically  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.service_units import MARK  # noqa: PLC0415

    if not dest.is_dir():
        raise TbotError("no such folder", where=str(dest), mend="Is this machine run by systemd? --print shows them.")
    found = {file.name: _text(dest / file.name) for file in files}
    foreign = [name for name, text in found.items() if text is not None and not text.startswith(MARK)]
    if foreign:
        raise TbotError(
            "this file was not written by `tbot service install`",
            where=str(dest / foreign[0]),
            mend="Move it away, or choose another folder with --dest.",
        )
    told = {}
    try:
        for file in files:
            before, path = found[file.name], dest / file.name
            told[file.name] = "written" if before is None else "unchanged" if before == file.text else "replaced"
            if before != file.text:
                write_atomically(path, file.text)
            if path.parent != dest:
                path.parent.chmod(0o755)
            path.chmod(0o644)  # there is no secret in it, and systemd complains of units that few may read
    except PermissionError:
        raise TbotError(
            "units cannot be written here by this account", where=str(dest), mend="Run it as root, or give --dest."
        ) from None
    return told


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _make_folders(place: "Place") -> None:
    """Make the runtime folders that are missing: under ProtectSystem=strict the service cannot."""
    import os  # noqa: PLC0415 - only here
    import shutil  # noqa: PLC0415

    for folder in place.writable:
        if folder.is_dir():
            continue
        folder.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0 and _is_account(place.user):
            shutil.chown(folder, place.user)


def _is_account(user: str) -> bool:
    import pwd  # noqa: PLC0415 - only here

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _next_commands(files: "list[UnitFile]", place: "Place") -> list[str]:
    import shlex  # noqa: PLC0415 - only here

    first = []
    if not _is_account(place.user):
        first.append(f"useradd --system --shell /usr/sbin/nologin {place.user}")
        first.append(f"chown -R {place.user} {shlex.join(str(path) for path in place.writable)}")
    timers = [file.name for file in files if file.name.endswith(".timer")]
    services = [file.name for file in files if file.name.endswith(".service") and "-check" not in file.name]
    enable = f"systemctl enable --now {' '.join((*services, *timers))}"
    return [*first, "systemctl daemon-reload", enable, "journalctl --unit=tbot.service --follow"]

"""Commands that look at the settings and change them: config show, check, set, edit, encrypt, decrypt, rotate."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tbot_bot.runtime.cli_complete import setting_names
from tbot_bot.runtime.cli_output import CONFIGURATION, DONE, FAILED, JsonValue, complain, emit_json, user_name
from tbot_bot.runtime.cli_run import Json, Why

if TYPE_CHECKING:
    from tbot_bot.config.settings_bot import Plan

_FROM_STDIN: Final = "-"


def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these variables.", autocompletion=setting_names),
    ] = None,
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Add what each is for and what it may be.")] = False,
    as_json: Json = False,
) -> int:
    """Print the settings in force. Secrets show only whether they are set."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.settings_view import settings_view  # noqa: PLC0415

    view = settings_view(tbot_home(), names or ())
    if as_json:
        found: list[JsonValue] = [
            {"name": one.name, "value": one.value, "set": one.is_set, "from": one.place, "expected": one.expected}
            for one in view.shown
        ]
        emit_json({"settings": found, "warnings": list(view.warnings)})
        return DONE
    for one in view.shown:
        if explain:
            typer.echo(f"# {one.description}\n# {one.expected}")
        typer.echo(f"{one.name}={one.value}{f'  # {one.place}' if one.is_set else ''}")
    for warning in view.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return DONE


def check(*, as_json: Json = False) -> int:
    """Say everything that is wrong with the settings. Exit status 2: something is."""
    from tbot_bot.config.error_handler import ConfigError  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings import load_settings, tbot_home  # noqa: PLC0415

    try:
        warnings = load_settings(tbot_home()).warnings
    except ConfigError as error:
        if not as_json:
            raise
        problems: list[JsonValue] = [
            {
                "file": problem.file,
                "line": problem.line or None,
                "variable": problem.variable or None,
                "value": problem.value,
                "expected": problem.expected,
                "mend": problem.mend,
            }
            for problem in error.problems
        ]
        emit_json({"usable": False, "problems": problems, "warnings": []})
        return CONFIGURATION
    if as_json:
        emit_json({"usable": True, "problems": [], "warnings": list(warnings)})
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo("the settings can be used")
    return DONE


def set_values(
    words: Annotated[
        list[str],
        typer.Argument(metavar="NAME VALUE...", help="Pairs; a VALUE of - is read from stdin, for secrets.",
                       autocompletion=setting_names),
    ],
    *,
    why: Why = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> int:  # fmt: skip
    """Change settings. Judged with all the others first; in force from the next session on."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings_bot import plan_set  # noqa: PLC0415
    from tbot_bot.runtime.settings_changes import apply, changing  # noqa: PLC0415

    pairs = _pairs(words)
    home = tbot_home()
    with changing(home):
        plan = plan_set(home, pairs)
        if plan.changes and not dry_run:
            apply(plan, by=user_name("tbot config set"), why=why)
    _tell_changes(plan, dry_run=dry_run)
    return DONE


def edit(*, why: Why = "") -> int:
    """Open .env_bot in $EDITOR. It is decrypted to memory-backed storage only, and judged before it is kept."""
    from tbot_bot.config.settings import BOT_FILE, tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings_bot import current_text  # noqa: PLC0415
    from tbot_bot.runtime.settings_changes import apply, changing  # noqa: PLC0415
    from tbot_bot.runtime.settings_editor import edited  # noqa: PLC0415

    home = tbot_home()
    with changing(home):
        before = current_text(home, BOT_FILE)
        plan = edited(home, before, ask_again=_ask_again)
        if plan is None:
            typer.echo("nothing is changed")
            return DONE
        apply(plan, by=user_name("tbot config edit"), why=why)
    _tell_changes(plan, dry_run=False)
    return DONE


def encrypt(
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a key and keep it in .env, if there is none.")
    ] = False,
) -> int:
    """Seal .env_bot into .env_bot.enc, read it back, and remove the plaintext."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.settings_changes import changing, encrypt_journaled  # noqa: PLC0415

    home = tbot_home()
    with changing(home):
        key_id = encrypt_journaled(home, by=user_name("tbot config encrypt"), new_key=new_key)
    typer.echo(
        f"sealed with the key {key_id}; the plaintext is removed. Keep a copy of the key where the backups are not."
    )
    return DONE


def decrypt() -> int:
    """Print what .env_bot.enc says. Nothing is written."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.config.settings_bot import decrypt as opened  # noqa: PLC0415

    sys.stdout.buffer.write(opened(tbot_home()))
    return DONE


def rotate(
    *,
    key_out: Annotated[
        Path | None, typer.Option("--key-out", metavar="FILE", help="Where the new key goes, if .env does not keep it.")
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Finish a change of keys: the new key is in its place.")
    ] = False,
) -> int:
    """Change the key of .env_bot.enc. Cut off anywhere, the key at hand opens its file."""
    from tbot_bot.config.settings import tbot_home  # noqa: PLC0415 - `--help` stays fast
    from tbot_bot.runtime.settings_changes import changing, finish_journaled, rotate_journaled  # noqa: PLC0415

    home = tbot_home()
    with changing(home):
        if finish:
            if finish_journaled(home, by=user_name("tbot config rotate")):
                typer.echo("the change of keys is finished; the old key opens nothing here any more")
                return DONE
            complain("there is no change of keys to finish: the new key is not at hand yet, or none was begun")
            return FAILED
        done = rotate_journaled(home, by=user_name("tbot config rotate"), key_out=key_out)
    typer.echo(f"key changed: {done.old_id} -> {done.new_id}, kept in {done.key_written_to}")
    if not done.finished:
        typer.echo(
            "Next: put that key in the old one's place (docs/security.md), remove the file, then "
            "`tbot config rotate --finish`. Until then either key opens the settings."
        )
    return DONE


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    if len(words) % 2:
        msg = f"{words[-1]} has no value; names and values come in pairs"
        raise typer.BadParameter(msg, param_hint="'NAME VALUE...'")
    pairs = list(zip(words[::2], words[1::2], strict=True))
    if sum(value == _FROM_STDIN for _, value in pairs) > 1:
        msg = "only one value can come from stdin"
        raise typer.BadParameter(msg, param_hint="'NAME VALUE...'")
    return [(name, _from_stdin(name) if value == _FROM_STDIN else value) for name, value in pairs]


def _from_stdin(name: str) -> str:
    """Read a value that shall not stand in the shell's history."""
    if sys.stdin.isatty():
        value: str = typer.prompt(name, hide_input=True, default="", show_default=False, err=True)
        return value
    return sys.stdin.readline().rstrip("\n")


def _tell_changes(plan: "Plan", *, dry_run: bool) -> None:
    if not plan.changes:
        typer.echo("nothing to change: the values are what they were")
        return
    for change in plan.changes:
        typer.echo(f"{change.name}: {change.old or '(empty)'} -> {change.new or '(empty)'}")
    said = "nothing is written" if dry_run else f"written to {plan.shown}; in force from the next session on"
    typer.echo(said)


def _ask_again(problems: str) -> bool:
    """Show what is wrong with an edited text and ask whether to go on with it."""
    complain(problems)
    return sys.stdin.isatty() and typer.confirm("Edit again? (No: nothing is changed)", default=True, err=True)

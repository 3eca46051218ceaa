"""`.env_bot` in the owner's editor: decrypted to memory-backed storage only, judged before it is kept."""

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import ConfigError, TbotError
from tbot_bot.config.process_env import editor, runtime_folder
from tbot_bot.config.settings import BOT_FILE
from tbot_bot.config.settings_bot import Plan, plan_text

MOUNTS: Final = Path("/proc/self/mountinfo")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def edited(home: Path, before: bytes, *, ask_again: Callable[[str], bool]) -> Plan | None:
    """Let the owner edit the text and return the plan that puts it in place; None: nothing is to be changed.

    `ask_again` is shown what is wrong with the edited text and says whether the owner wants to go on.

    Raises:
        TbotError: no memory-backed storage, or no such editor, or it failed.
        OSError: the private file cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=memory_backed(), prefix="tbot-") as folder:  # made 0700
        draft = Path(folder) / "env_bot"
        draft.touch(0o600)
        draft.write_bytes(before)
        while True:
            _run_editor(draft)
            text = draft.read_bytes()
            if text == before:
                return None
            try:
                return plan_text(home, BOT_FILE, text, before)
            except ConfigError as error:
                if not ask_again(str(error)):
                    return None


def memory_backed(mounts: Path = MOUNTS) -> Path:
    """Return a writable folder whose files are never on a disk (swap aside).

    Raises:
        TbotError: there is none that we know of.
    """
    in_memory = dict(_mounts(mounts))
    for folder in (runtime_folder(), Path("/dev/shm")):  # noqa: S108 - the system's own name for memory
        if folder is not None and folder.is_dir() and _type_of(folder, in_memory) in _IN_MEMORY:
            return folder
    raise TbotError(
        "this machine has no memory-backed storage that we know of, and decrypted settings shall not be on a disk",
        where="tbot config edit",
        mend="Use `tbot config set NAME VALUE`.",
    )


def _run_editor(draft: Path) -> None:
    command = [*shlex.split(editor()), str(draft)]
    try:
        status = subprocess.run(command, check=False).returncode  # noqa: S603 - the owner's own editor
    except OSError as error:
        mend = "Set EDITOR to one that is installed."
        raise TbotError(f"cannot be started: {error.strerror}", where=command[0], mend=mend) from None
    if status:
        raise TbotError(f"it ended with status {status}; nothing is changed", where=command[0])


def _mounts(path: Path) -> Iterator[tuple[Path, str]]:
    """Return each mount point with its kind of file system, as proc(5) lists them; nothing off Linux."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        fields, _, rest = line.partition(" - ")
        yield Path(fields.split(" ")[4]), rest.split(" ")[0]


def _type_of(folder: Path, mounts: dict[Path, str]) -> str:
    real = folder.resolve()
    return next((mounts[place] for place in (real, *real.parents) if place in mounts), "")


__all__ = ["edited", "memory_backed"]

"""What the process environment says about the process itself, not about how to trade."""

import os
from pathlib import Path


def notify_socket() -> str:
    """Return where systemd listens (`NOTIFY_SOCKET`); empty where we are not its service."""
    return os.environ.get("NOTIFY_SOCKET", "")


def watchdog_seconds() -> float:
    """Return how often systemd wants to hear from this process (`WATCHDOG_USEC`); 0: it does not."""
    text = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
    return int(text) / 1e6 if ours and text.isdigit() else 0.0


def columns_given() -> bool:
    """Return whether somebody has said how wide the terminal is (`COLUMNS`)."""
    return bool(os.environ.get("COLUMNS"))


def credentials_folder() -> Path | None:
    """Return where the service manager has put this service's secrets (`CREDENTIALS_DIRECTORY`); None: nowhere."""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else None


def color_refused() -> bool:
    """Return whether the person wants no colours and no escape codes (`NO_COLOR`, see no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def runtime_folder() -> Path | None:
    """Return the user's own folder for what ends with the login (`XDG_RUNTIME_DIR`); None: there is none."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    return Path(given) if given else None


def editor() -> str:
    """Return the command of the owner's editor (`VISUAL`, `EDITOR`), `vi` where nothing is said."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"

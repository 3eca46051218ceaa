"""What the process environment says about the process itself, not about how to trade."""

import os


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

"""Words to systemd over its notify socket (sd_notify(3)); silent where we are not its service."""

import socket
from contextlib import suppress

from tbot_bot.config.process_env import notify_socket, watchdog_seconds


class SdNotify:
    """Tells systemd that we are ready, how we are, and that we are alive."""

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        """`address` and `watchdog` (seconds) come from the process environment where not given."""
        given = notify_socket() if address is None else address
        # a leading @ stands for the abstract namespace
        self._address = f"\0{given[1:]}" if given.startswith("@") else given
        wanted = watchdog_seconds() if watchdog is None else watchdog
        self.watchdog_every = wanted / 2
        """Seconds between two pings; 0: none are wanted. Half of what systemd allows, as it advises."""
        self._status = ""

    def ready(self, status: str) -> None:
        """Say that the start has succeeded."""
        self._status = status
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Say what we are doing, if it has changed."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self, why: str) -> None:
        """Say that the end has begun."""
        self._send(f"STOPPING=1\nSTATUS={_line(why)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # trading does not depend on whether systemd listens
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(self._address)
            out.send(message.encode())


def _line(text: str) -> str:
    return text.replace("\n", " ")

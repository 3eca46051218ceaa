"""Keeps the process that tells people alive, from within the supervisor: started, started again, renewed.

The supervisor imports nothing that sends. The messenger leads a session of its own, so it lives on when we die; the
next supervisor puts one with its own settings in its place.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.config.envfile import read_file
from tbot_bot.config.settings import ENV_FILE, Settings, handed_over
from tbot_bot.runtime.clock import monotonic_seconds
from tbot_bot.runtime.locks import holder

ALERTS_LOCK: Final = "alerts.lock"
MODULE: Final = "tbot_bot.runtime.alert_process"
ONCE_MODULE: Final = "tbot_bot.runtime.alert_once"
LOOK_SECONDS: Final = 2
_SOMEWHERE: Final = ("ALERT_EMAIL", "SLACK_WEBHOOK_URL", "ALERT_URLS")
"""Where none of these is set there is nobody to tell, whatever else is wrong with the settings."""
_AGAIN_SECONDS: Final = (1.0, 5.0, 30.0, 120.0)
"""Between one end of the messenger and its next start."""
_SOUND_SECONDS: Final = 300.0
"""A messenger that lived for longer begins the list above anew."""


def wanted(settings: Settings) -> bool:
    """Return whether anybody is to be told: somewhere to send to, and not in test mode unless that is allowed."""
    env, bot = settings.env, settings.bot
    somewhere = (env.smtp_host and env.alert_email) or env.slack_webhook_url.get_secret_value() or env.alert_urls
    return bool(somewhere) and (not bot.test_mode or bot.alerts_in_test_mode)


def tell_once(home: Path, *, topic: str, severity: str, title: str, text: str, patience: float = 0.0) -> None:
    """Have one thing told where no bot is there to tell it; wait for that `patience` seconds at most.

    Never raises: what was to be told stands where it happened, and the sender leaves its words in `alerts.out`.
    """
    named = {entry.name for entry in read_file(home / ENV_FILE, ENV_FILE).entries if entry.value}
    if named.isdisjoint(_SOMEWHERE):
        return
    said = {"topic": topic, "severity": severity, "title": title, "text": text}
    output = home / "logs" / "bot" / "alerts.out"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as file:
            sender = subprocess.Popen(  # noqa: S603 - our own module
                (sys.executable, "-m", ONCE_MODULE, "--home", str(home)),
                stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        if sender.stdin is not None:
            with sender.stdin as pipe:
                pipe.write(json.dumps(said).encode())
        with suppress(subprocess.TimeoutExpired):  # it goes on by itself
            if patience:
                sender.wait(timeout=patience)
    except OSError as error:
        sys.stderr.write(f"warning: nobody could be told: {error}\n")


class AlertKeeper:
    """One supervisor's messenger; all methods belong to its loop, and none of them waits."""

    def __init__(
        self, *, home: Path, control: Path, output: Path, log: FilteringBoundLogger, tell: Callable[[str], None]
    ) -> None:
        """`output` takes what the messenger prints; `tell` reaches people and the journal. Nothing is started yet."""
        self._home, self._control, self._output, self._log, self._tell = home, control, output, log, tell
        self._given = b""
        self._child: subprocess.Popen[bytes] | None = None
        self._leaving: list[subprocess.Popen[bytes]] = []
        """Asked to end, and not reaped yet."""
        self._started_at = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._told = False

    @property
    def leaving(self) -> int:
        """Return how many messengers were asked to end and have not yet."""
        return len(self._leaving)

    def renew(self, settings: Settings) -> None:
        """Have the messenger work with `settings` from now on, or end it where none is wanted any more."""
        given = handed_over(settings) if wanted(settings) else b""
        if given == self._given and self._child is not None:
            return
        self._given = given
        self._end()
        self.look()

    def look(self) -> None:
        """See whether the messenger lives, and start it where it should and does not."""
        self._leaving = [child for child in self._leaving if child.poll() is None]
        if self._child is not None and self._child.poll() is not None:
            self._ended(self._child.returncode)
        if not self._given or self._child is not None or monotonic_seconds() < self._not_before:
            return
        if holder(self._control / ALERTS_LOCK) is not None:
            return  # one before it is still on its way out
        self._start()

    def _start(self) -> None:
        command = (sys.executable, "-m", MODULE, "--home", str(self._home))
        try:
            self._output.parent.mkdir(parents=True, exist_ok=True)
            with self._output.open("ab") as output:
                self._child = subprocess.Popen(  # noqa: S603 - our own module
                    command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
                )
            if self._child.stdin is not None:
                with suppress(BrokenPipeError), self._child.stdin as pipe:
                    pipe.write(self._given)
        except OSError as error:
            self._failed(f"alerts cannot be sent: their process did not start: {error}")
            return
        self._started_at = monotonic_seconds()

    def _ended(self, status: int) -> None:
        self._child = None
        if monotonic_seconds() - self._started_at > _SOUND_SECONDS:
            self._failures, self._told = 0, False
        self._failed(f"the process that sends alerts ended with status {status}; see {self._output.name}")

    def _failed(self, text: str) -> None:
        wait = _AGAIN_SECONDS[min(self._failures, len(_AGAIN_SECONDS) - 1)]
        self._failures += 1
        self._not_before = monotonic_seconds() + wait
        self._log.error("alerts", text=text, again_in=wait)
        if not self._told:
            self._told = True
            self._tell(text)

    def _end(self) -> None:
        """Ask whoever sends now to end: our own, or one of a supervisor before us."""
        if self._child is not None:
            child, self._child = self._child, None
            child.terminate()
            self._leaving.append(child)
            return
        pid = holder(self._control / ALERTS_LOCK)
        if pid:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)


__all__ = ["ALERTS_LOCK", "LOOK_SECONDS", "AlertKeeper", "tell_once", "wanted"]

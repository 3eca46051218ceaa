"""The service manager's side: a real notify socket, and bots started as its services would be."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 60
_GO_BLIND = """
import asyncio
from pathlib import Path
from tbot_bot.runtime.session_run import ClockPacer
whole = ClockPacer.wait_until
async def wait_until(self, at):
    if Path({flag!r}).exists():
        Path({flag!r}).unlink()
        await asyncio.sleep(3600)
    await whole(self, at)
ClockPacer.wait_until = wait_until
"""
_SUPERVISE = """
import sys
from pathlib import Path
from tbot_bot.core.instants import seconds
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
from tbot_bot.runtime.vital_signs import WatchLimits
home, speed, patience = Path(sys.argv[1]), float(sys.argv[2]), seconds(float(sys.argv[3]))
limits = WatchLimits(silence_max=patience, blind_max=patience, terminate_seconds=0.5)
request = RunRequest(home=home, once=True, rehearsal=True, speed=speed, overrides=(("STRATEGY_OVERRIDE", "open"),))
sys.exit(run_supervisor(request, limits=limits))
"""


class NotifySocket:
    """Listens as systemd does, and remembers when it heard what."""

    def __init__(self, address):
        """`address` as in NOTIFY_SOCKET: a path, or a name of the abstract namespace behind an @."""
        self.address = address
        self.heard = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def close(self):
        self._socket.close()

    def environment(self, watchdog_seconds=0.0):
        """Return what systemd puts into a service's environment."""
        told = {"NOTIFY_SOCKET": self.address}
        if watchdog_seconds:
            told["WATCHDOG_USEC"] = str(round(watchdog_seconds * 1e6))
        return {**os.environ, **told}

    def listen(self, seconds):
        """Take what comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._take(left)

    def until(self, condition, process=None):
        """Take what comes until `condition()`, asked at least every 50 ms; `process` must not end before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert process is None or process.poll() is None, f"it ended; last heard {self.heard[-5:]}"
            assert time.monotonic() < deadline, f"waited too long; last heard {self.heard[-5:]}"
            self._take(0.05)

    def lines(self):
        """Return every line heard so far, in order."""
        return [line for _, message in self.heard for line in message.split("\n")]

    def states(self):
        """Return the texts after STATUS=."""
        return [line.removeprefix("STATUS=") for line in self.lines() if line.startswith("STATUS=")]

    def pings(self):
        """Return when the watchdog was fed, in monotonic seconds."""
        return [at for at, message in self.heard if message == "WATCHDOG=1"]

    def _take(self, seconds):
        self._socket.settimeout(max(seconds, 0.001))
        try:
            message = self._socket.recv(4096).decode()
        except TimeoutError:
            return
        self.heard.append((time.monotonic(), message))


def supervise(home, environment, *, speed, patience):
    """Start a supervisor of one OPEN session; `patience`: seconds after which a runner is silent or blind."""
    command = [sys.executable, "-c", _SUPERVISE, str(home), str(speed), str(patience)]
    with (home / "stderr.txt").open("ab") as errors:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=errors)


def can_go_blind(folder, flag):
    """Return what to add to a bot's environment so that its market stands still once somebody makes the file `flag`.

    Only the wait for the market's next step is held up, once; everything else in the process goes on.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_GO_BLIND.format(flag=str(flag)), encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), str(Path.cwd()), os.environ.get("PYTHONPATH"))))}

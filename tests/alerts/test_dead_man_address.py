"""The dead-man address: visited while the bot lives, and silent when its supervisor is killed or hangs."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tbot_bot.core.instants import seconds
from tbot_bot.reporting.alert_senders import Channels, ping
from tbot_bot.runtime import alert_process, messenger
from tbot_bot.runtime.alert_process import is_well
from tests.support.alert_room import AlertRoom

STAND_IN = """
import sys, time
from pathlib import Path
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, Lock, touch
path = Path(sys.argv[1]) / SUPERVISOR_LOCK
with Lock(path):
    print("up", flush=True)
    while True:
        touch(path)
        time.sleep(0.05)
"""
"""What a supervisor leaves of itself: its lock, touched by its loop."""


class Service:
    """A service that waits for visits; it answers, fails, or hangs."""

    def __init__(self) -> None:
        self.visits, self.answer = 0, "200"
        self.goes_on = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.visits += 1
                answer = service.answer
                if answer == "hang":
                    service.goes_on.wait(10)
                    return
                self.send_response(int(answer))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        """Return the address as the owner writes it, without the prefix that marks it."""
        return f"http://127.0.0.1:{self.server.server_port}/uuid"

    def close(self) -> None:
        """Answer nobody any more."""
        self.goes_on.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that is alive as a supervisor is."""
    command = [sys.executable, "-c", STAND_IN, str(tmp_path / "control")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


async def come(condition: Callable[[], bool]) -> None:
    """Wait for `condition`."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "ends_by",
    [pytest.param(signal.SIGSTOP, id="hung"), pytest.param(signal.SIGKILL, id="killed", marks=pytest.mark.slow)],
)
async def test_the_address_is_visited_while_the_supervisor_lives_whatever_it_answers_and_no_longer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: Service,
    supervisor: subprocess.Popen[str],
    ends_by: signal.Signals,
) -> None:
    monkeypatch.setattr(messenger, "PING_SECONDS", 0.05)
    monkeypatch.setattr(messenger, "ping", partial(ping, patience=0.3))
    monkeypatch.setattr(alert_process, "SILENCE_MAX", seconds(0.7))
    made = AlertRoom(tmp_path).messenger()
    channels = Channels(senders=(), pings=(service.address,), missing=())
    made.post = replace(made.post, channels=channels, is_well=partial(is_well, tmp_path / "control"))
    stop = asyncio.Event()
    running = asyncio.create_task(made.run(lambda: False, stop))
    try:
        await come(lambda: service.visits >= 3)
        for answer in ("503", "hang", "404", "200"):
            service.answer, before = answer, service.visits
            await come(lambda before=before: service.visits >= before + 2)  # type: ignore[misc]  # it goes on
        told = [call.kwargs["detail"] for call in made.post.log.calls if call.args == ("ping_failed",)]  # type: ignore[attr-defined]
        assert [detail.split()[4] for detail in told if "answers" in detail] == ["503", "404"]  # each once
        assert any("did not answer within 0.3 s" in detail for detail in told)
        assert not any(service.address in detail for detail in told), "the address is a secret"

        os.kill(supervisor.pid, ends_by)
        await asyncio.sleep(1.2)  # longer than it may be silent
        before = service.visits
        await asyncio.sleep(0.5)  # ten visits' time
        assert service.visits == before
        if ends_by is signal.SIGSTOP:
            os.kill(supervisor.pid, signal.SIGCONT)
            await come(lambda: service.visits > before)
    finally:
        stop.set()
        await running

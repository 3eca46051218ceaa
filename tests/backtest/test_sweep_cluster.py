"""A sweep on a Dask cluster: a real scheduler and real workers, one of them killed, and the same bytes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tbot_bot.backtest.sweep import sweep
from tbot_bot.backtest.sweep_crew import local_crew
from tbot_bot.backtest.sweep_grid import read_grid
from tests.support.sweep_kit import (
    MANY,
    REPOSITORY,
    bytes_of,
    done_lines,
    request_for,
    started,
    tbot,
    wait_until,
    words_for,
    write_days,
)

DAYS = 3
HIDES = """
import sys
def refuse(event, args, hidden={path!r}):
    if event == "open" and str(args[0]) == hidden:
        raise FileNotFoundError(2, "No such file or directory", hidden)
sys.addaudithook(refuse)
"""


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.scheduler = folder / "scheduler.json"
        self.start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                   "--scheduler-file", str(self.scheduler))  # fmt: skip
        wait_until(lambda: self.scheduler.exists() and '"address"' in self.scheduler.read_text())
        self.address = self.scheduler.read_text().split('"address": "')[1].split('"')[0]

    def start(self, module, *words, package=REPOSITORY):
        number = len(self.processes)
        with (self.folder / f"{module}-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words], stdout=log, stderr=log, cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(package)},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def worker(self, *words, package=REPOSITORY):
        number = len(self.processes)
        process = self.start(
            "dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", f"w{number}",
            "--local-directory", str(self.folder), *words, package=package,
        )  # fmt: skip
        log = self.folder / f"dask_worker-{number}.log"
        wait_until(lambda: "Registered to" in log.read_text())
        return process

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.end()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home with data and the sweep as this machine alone makes it."""
    place = tmp_path_factory.mktemp("home")
    data = write_days(place / "bars.csv", DAYS)
    sweep(request_for(place, data, DAYS), read_grid([MANY], {}), place / "here", lambda errand: local_crew(errand, 1))
    return place


def words(home, *more):
    return words_for("sweep", home / "bars.csv", DAYS, *more, texts=[MANY])


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing_but_time(home, cluster):
    doomed = cluster.worker()
    cluster.worker()
    running = started(home, words(home, "--cluster", cluster.address, "--out", "there"))
    wait_until(lambda: done_lines(home / "there") >= 2 or running.poll() is not None)
    doomed.kill()
    doomed.wait()
    assert running.poll() is None, "it was over before the worker was killed"
    _, told = running.communicate(timeout=100)
    assert running.returncode == 0, told
    assert bytes_of(home / "there") == bytes_of(home / "here")


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_one_clear_error(home, free_port):
    ended = tbot(home, words(home, "--cluster", f"tcp://127.0.0.1:{free_port}", "--out", "nowhere"))
    assert ended.returncode == 1
    assert "no Dask scheduler answers within" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (home / "nowhere").exists()


@pytest.fixture
def free_port():
    import socket  # noqa: PLC0415 - beside its one use

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_what_is_no_address_is_refused(tmp_path):
    ended = tbot(tmp_path, words(tmp_path, "--cluster", "localhost"))
    assert ended.returncode == 2
    assert "write it as tcp://host:8786" in ended.stderr


@pytest.mark.slow
def test_a_cluster_that_cannot_do_the_work_is_told_of_in_one_error_each(home, cluster, tmp_path):
    asked = words(home, "--cluster", cluster.address, "--out", "unfit")

    def refused():
        ended = tbot(home, asked)
        assert ended.returncode == 1
        assert ended.stderr.count("error:") == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr

    assert "the scheduler has no workers" in refused()
    other = tmp_path / "other"
    shutil.copytree(REPOSITORY / "tbot_bot", other / "tbot_bot", ignore=shutil.ignore_patterns("__pycache__"))
    sizing = other / "tbot_bot" / "trading" / "risk_bot.py"
    sizing.write_text(sizing.read_text() + "\n")
    stranger = cluster.worker(package=other)
    assert "has another version: code tbot_bot/trading has changed" in refused()
    stranger.kill()
    stranger.wait()
    hides = Path(cluster.folder) / "hides.py"
    hides.write_text(HIDES.format(path=str(home / "bars.csv")))
    wait_until(lambda: "no workers" in refused())
    blind = cluster.worker("--preload", str(hides))
    told = refused()
    assert "cannot use the data" in told
    assert "Workers need the data under the path that is given here" in told
    blind.kill()
    assert not (home / "unfit").exists()

"""Who computes a sweep's tasks: this process alone, or processes of its own beside it.

A crew is a function from tasks to outcomes in the order in which they are done; each context manager here gives one.
Workers end with the process that started them, however it ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tbot_bot.backtest.sweep_errand import Errand, Outcome, Task
from tbot_bot.backtest.sweep_worker import compute, let_go
from tbot_bot.config.error_handler import MachineError

Crew = Callable[[Sequence[Task]], Iterator[Outcome]]


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def local_crew(errand: Errand, jobs: int) -> Iterator[Crew]:
    """Give the crew of `jobs` processes on this machine; of one, this process itself."""
    with _alone(errand) if jobs == 1 else _beside(errand, jobs) as crew:
        yield crew


@contextmanager
def _alone(errand: Errand) -> Iterator[Crew]:
    try:
        yield lambda tasks: (compute(errand, task, cores()) for task in tasks)
    finally:
        let_go()


@contextmanager
def _beside(errand: Errand, jobs: int) -> Iterator[Crew]:
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of numba's threads
    threads = max(1, cores() // jobs)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)

    def crew(tasks: Sequence[Task]) -> Iterator[Outcome]:
        waiting: set[Future[Outcome]] = set()
        due = iter(tasks)
        try:
            while True:
                for task in due:
                    waiting.add(pool.submit(compute, errand, task, threads))
                    if len(waiting) >= 2 * jobs:  # a next one is there for whoever is done
                        break
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            what = "a worker process was ended from outside, or had no memory left"
            mend = "The same command goes on where this ended; with less memory, give --jobs 1."
            raise MachineError(what, where="sweep", mend=mend) from error

    try:
        yield crew
    except BaseException:
        at_work = list(pool._processes.values())  # noqa: SLF001 - the pool has no way to end what is under way
        pool.shutdown(wait=False, cancel_futures=True)
        for process in at_work:
            process.terminate()
        raise
    pool.shutdown()


def _begin() -> None:
    """Prepare a worker: Ctrl-C is the asking process's to answer, whose death ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(join: Callable[[], None]) -> None:
    join()
    os._exit(1)


__all__ = ["Crew", "cores", "local_crew"]

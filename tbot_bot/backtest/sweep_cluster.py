"""A crew on an existing Dask scheduler: nothing of our own runs there but this package, which its workers must have.

Before any work each worker says which code it has and whether the data are there. A worker that dies costs the task it
was at, which another one does again; outcomes are equal wherever they are computed.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import Final, Protocol, cast

from tbot_bot.backtest.run_manifest import changed_digests, code_digests
from tbot_bot.backtest.sweep_crew import Crew
from tbot_bot.backtest.sweep_errand import Errand, Outcome, Task
from tbot_bot.backtest.sweep_worker import Fitness, compute, fitness
from tbot_bot.config.error_handler import MachineError, NetworkError

_CONNECT_SECONDS: Final = 10
_PROBE_SECONDS: Final = 120
"""Workers may have to read and digest the data for the first time."""
_IDLE_SECONDS: Final = 60
"""How long a scheduler may be without any worker in the middle."""
_LOOK_SECONDS: Final = 2.0
_AHEAD: Final = 3
"""Tasks handed out for each thread: a next one is there for whoever is done."""
_AGAIN: Final = "Finished sets are kept: the same command goes on."
_MATTERING: Final = ("python", "distributed", "dask", "cloudpickle")

_Versions = Mapping[str, Mapping[str, object]]


class _Future(Protocol):
    """A task at the scheduler."""

    def result(self) -> Outcome:
        """Return what came of it, or raise what went wrong."""


class _Client(Protocol):
    """What is used of `distributed.Client`, whose own types do not tell."""

    status: str

    def close(self, timeout: float) -> None: ...

    def scheduler_info(self, n_workers: int) -> Mapping[str, Mapping[str, object]]: ...

    def get_versions(self) -> Mapping[str, object]: ...

    def run(
        self, function: Callable[[Errand], Fitness], errand: Errand, /, *, on_error: str, nanny: bool
    ) -> Mapping[str, object]: ...

    def nthreads(self) -> Mapping[str, int]: ...

    def submit(
        self, function: Callable[[Errand, Task], Outcome], errand: Errand, task: Task, /, *, pure: bool
    ) -> _Future: ...

    def cancel(self, futures: Sequence[_Future]) -> None: ...


@contextmanager
def cluster_crew(errand: Errand, address: str) -> Iterator[Crew]:
    """Give the crew of all workers at the scheduler `address`, a URL such as tcp://host:8786.

    Raises:
        NetworkError: no scheduler answers, or it has no workers.
        MachineError: versions differ, or a worker has not the data; or the package `distributed` is not there.
    """
    client = _connected(address)
    try:
        _require_fit(client, errand, address)

        def crew(tasks: Sequence[Task]) -> Iterator[Outcome]:
            return _outcomes(client, errand, tasks, address)

        yield crew
    finally:
        client.close(timeout=_LOOK_SECONDS)


def on_worker(errand: Errand, task: Task) -> Outcome:
    """Run `task` on a worker, with as many threads as the worker was given."""
    from distributed import get_worker  # noqa: PLC0415 - heavy

    return compute(errand, task, int(get_worker().state.nthreads))


def _connected(address: str) -> _Client:
    try:
        from distributed import Client  # noqa: PLC0415 - heavy, and only there with the extra `cluster`
    except ImportError:
        mend = "Install the extra: pip install 'tradebot[cluster]'."
        raise MachineError("the package `distributed` is not installed", where="--cluster", mend=mend) from None
    for name in ("distributed", "tornado"):  # what they would say stands in our own errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(  # type: ignore[no-untyped-call]
            address, timeout=_CONNECT_SECONDS, name="tbot-sweep"
        )
    except (OSError, TimeoutError, ValueError) as error:
        mend = "Start one with `dask scheduler`, check the address, or leave out --cluster."
        what = f"no Dask scheduler answers within {_CONNECT_SECONDS} s ({type(error).__name__})"
        raise NetworkError(what, where=address, mend=mend) from error
    return cast("_Client", client)


def _require_fit(client: _Client, errand: Errand, address: str) -> None:
    """Do nothing where every worker can do the work.

    Raises:
        NetworkError: there is no worker.
        MachineError: one of them cannot.
    """
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    if not workers:
        mend = f"Start some with `dask worker {address}`."
        raise NetworkError("the scheduler has no workers", where=address, mend=mend)
    _require_versions(client, address)
    ours = tuple(code_digests())
    told = client.run(fitness, errand, on_error="return", nanny=False)
    for worker, found in sorted(told.items()):
        if not isinstance(found, Fitness):
            mend = "Install the same version of this package in the worker's environment."
            what = f"worker {worker} cannot run this package ({type(found).__name__}: {found})"
            raise MachineError(what, where=address, mend=mend)
        odd = list(changed_digests("code", ours, found.code))
        if odd:
            mend = "Install the same version of this package in the worker's environment, and start it again."
            raise MachineError(f"worker {worker} has another version: {'; '.join(odd)}", where=address, mend=mend)
        if found.trouble:
            mend = "Workers need the data under the path that is given here."
            raise MachineError(f"worker {worker} cannot use the data: {found.trouble}", where=address, mend=mend)


def _require_versions(client: _Client, address: str) -> None:
    told = client.get_versions()
    ours = _packages(cast("_Versions", told["client"]))
    workers = cast("Mapping[str, _Versions]", told["workers"])
    for where, theirs in (("the scheduler", cast("_Versions", told["scheduler"])), *sorted(workers.items())):
        found = _packages(theirs)
        odd = [f"{name} {found.get(name)} instead of {ours[name]}" for name in ours if found.get(name) != ours[name]]
        if odd:
            mend = "Run scheduler, workers and this command in the same environment."
            raise MachineError(f"versions differ: {where} has {', '.join(odd)}", where=address, mend=mend)


def _packages(told: _Versions) -> dict[str, str]:
    return {name: str(told["packages"].get(name)) for name in _MATTERING}


def _outcomes(client: _Client, errand: Errand, tasks: Sequence[Task], address: str) -> Iterator[Outcome]:
    """Yield outcomes as they come, a bounded number of tasks ahead."""
    from distributed import KilledWorker  # noqa: PLC0415 - heavy

    waiting: set[_Future] = set()
    due = iter(tasks)
    try:
        while True:
            room = _AHEAD * max(1, sum(client.nthreads().values())) - len(waiting)
            waiting |= {client.submit(on_worker, errand, task, pure=False) for task in islice(due, max(0, room))}
            if not waiting:
                return
            done = _first_done(client, waiting, address)
            waiting -= done
            for future in done:
                yield future.result()
    except (OSError, TimeoutError, CancelledError, KilledWorker) as error:
        raise NetworkError(
            f"the cluster failed: {str(error) or type(error).__name__}", where=address, mend=_AGAIN
        ) from error
    finally:
        if client.status == "running":
            client.cancel(list(waiting))


def _first_done(client: _Client, waiting: set[_Future], address: str) -> set[_Future]:
    """Return the futures that are done, once there are some.

    Raises:
        NetworkError: there has been no worker for a while.
    """
    from distributed import wait  # noqa: PLC0415 - heavy

    idle = 0.0
    while True:
        try:
            found = wait(waiting, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]
            return cast("set[_Future]", found.done)
        except TimeoutError:
            idle = 0.0 if client.nthreads() else idle + _LOOK_SECONDS
        if idle >= _IDLE_SECONDS:
            raise NetworkError("no worker is left at the scheduler", where=address, mend=_AGAIN)


__all__ = ["cluster_crew", "on_worker"]

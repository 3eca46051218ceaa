"""Many runs, several at a time, each in a process that has loaded the program once."""

import multiprocessing
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.crash.checker import Finding, Verdict, check
from tests.crash.plan import plan_of
from tests.crash.report import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What every run is told."""

    folder: Path
    broken: str = ""
    cold: bool = False
    keep: bool = False


def one_run(seed: int, orders: Orders) -> Run:
    """Play and judge one seed, in this process and its children."""
    from tests.crash.scene import Scene, preload  # noqa: PLC0415 - the bot is loaded by whoever plays, not by the judge

    preload()
    folder = orders.folder / f"seed-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    try:
        Scene(folder, plan_of(seed), broken=orders.broken, cold=orders.cold).play()
        verdict = check(folder)
    except (OSError, LookupError, ValueError, RuntimeError) as error:
        verdict = Verdict(findings=[Finding(kind="harness", text=f"{type(error).__name__}: {error}")])
    kept = orders.keep or bool(verdict.findings)
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    took = round(time.monotonic() - begun, 2)
    return Run(seed=seed, verdict=verdict, seconds=took, folder=str(folder) if kept else "")


def runs_of(asked: Iterable[tuple[int, Orders]], *, jobs: int) -> Iterator[tuple[Orders, Run]]:
    """Yield what comes of each seed under its orders, as it comes, several at a time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures: dict[Future[Run], Orders] = {pool.submit(one_run, seed, told): told for seed, told in asked}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

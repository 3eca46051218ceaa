"""The figures of many runs: one table for people, one object for programs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from tests.crash.checker import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one seed."""

    seed: int
    verdict: Verdict
    seconds: float
    folder: str
    """Where its files are, if they were kept."""

    @property
    def failed(self) -> bool:
        """Return whether something was found."""
        return bool(self.verdict.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is to be said of all runs together."""

    runs: int
    failed: int
    kills: int
    kills_by_step: dict[str, int]
    faults: dict[str, int]
    orders: int
    fills: int
    trades: int
    findings: dict[str, int]
    unprotected_seconds_max: float
    unexcused_seconds_max: float
    recovery_seconds_median: float
    recovery_seconds_max: float
    seconds_per_run_median: float
    failed_seeds: list[int]


KINDS = ("duplicate", "orphan", "lost fill", "books", "unprotected", "not flat", "failed life", "harness")
"""Of findings; the last one says that the harness itself could not judge a run."""


def figures_of(runs: Sequence[Run]) -> Figures:
    """Return the figures of `runs`."""
    verdicts = [run.verdict for run in runs]
    steps = Counter(step for verdict in verdicts for step in verdict.kills)
    faults: Counter[str] = Counter()
    for verdict in verdicts:
        faults.update(verdict.faults)
    found = Counter(finding.kind for verdict in verdicts for finding in verdict.findings)
    recoveries = [seconds for verdict in verdicts for seconds in verdict.recoveries]
    return Figures(
        runs=len(runs),
        failed=sum(run.failed for run in runs),
        kills=sum(steps.values()),
        kills_by_step=dict(sorted(steps.items())),
        faults=dict(sorted(faults.items())),
        orders=sum(verdict.orders for verdict in verdicts),
        fills=sum(verdict.fills for verdict in verdicts),
        trades=sum(verdict.trades for verdict in verdicts),
        findings={kind: found[kind] for kind in KINDS},
        unprotected_seconds_max=max((verdict.unprotected_seconds for verdict in verdicts), default=0.0),
        unexcused_seconds_max=max((verdict.unexcused_seconds for verdict in verdicts), default=0.0),
        recovery_seconds_median=round(median(recoveries), 3) if recoveries else 0.0,
        recovery_seconds_max=max(recoveries, default=0.0),
        seconds_per_run_median=round(median(run.seconds for run in runs), 2) if runs else 0.0,
        failed_seeds=sorted(run.seed for run in runs if run.failed),
    )


def table(figures: Figures) -> str:
    """Return the figures as lines of at most 80 characters."""
    rows = [
        ("runs", f"{figures.runs}, of which failed: {figures.failed}"),
        ("kills", f"{figures.kills} at {len(figures.kills_by_step)} steps"),
        ("orders, fills, trades", f"{figures.orders}, {figures.fills}, {figures.trades}"),
        *((f"  {kind}", str(count)) for kind, count in figures.findings.items()),
        ("unprotected at most", f"{figures.unprotected_seconds_max:.3f} s"),
        ("  of it while the runner lived", f"{figures.unexcused_seconds_max:.3f} s"),
        (
            "recovery time",
            f"median {figures.recovery_seconds_median:.3f} s, at most {figures.recovery_seconds_max:.3f} s",
        ),
    ]
    lines = [f"{name:<32}{value}" for name, value in rows]
    for title, counts in (("faults that struck", figures.faults), ("kills by step", figures.kills_by_step)):
        lines += ["", f"{title}:", *_columns(counts)]
    return "\n".join(lines)


def _columns(counts: dict[str, int]) -> list[str]:
    cells = [f"{count:>6}  {name}" for name, count in counts.items()]
    half = (len(cells) + 1) // 2
    right = [*cells[half:], ""]
    return [f"{left:<40}{beside}".rstrip() for left, beside in zip(cells[:half], right, strict=False)]


def plain(figures: Figures) -> dict[str, object]:
    """Return the figures for JSON."""
    return asdict(figures)

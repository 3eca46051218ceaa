"""What to do after a runner has died. Pure, so that no process is needed to test it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How often and how soon a session's runner is started again."""

    restarts_max: int = 3
    """Per session; after that a defect is likelier than bad luck, and each start is another risk."""
    delay_first_seconds: float = 0.0
    """The first restart comes at once: positions wait."""
    delay_next_seconds: float = 1.0
    """Doubled from one restart to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One unwanted end of a runner."""

    exit_code: int
    """As the process gave it; negative: the signal that ended it."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Start the same session again, which recovers it."""

    delay_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Do not start it again."""

    reason: str


def after_crash(policy: RestartPolicy, crashes: Sequence[Crash]) -> Restart | GiveUp:
    """Return what to do after the last of `crashes`: all of one session, oldest first."""
    count = len(crashes)
    if count > policy.restarts_max:
        last = crashes[-1].why if crashes else ""
        return GiveUp(
            reason=f"the runner ended {count} times, {policy.restarts_max} restarts are allowed; last: {last}"
        )
    if count <= 1:
        return Restart(delay_seconds=policy.delay_first_seconds)
    return Restart(delay_seconds=policy.delay_next_seconds * 2 ** (count - 2))

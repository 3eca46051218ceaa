"""The processes' own structured logs below `logs/bot/<mode>/`: JSON lines, rotated, without secrets."""

import logging
import logging.handlers
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from tbot_bot.config.scrub import scrubber
from tbot_bot.core.instants import Instant, iso, to_datetime
from tbot_bot.reporting.log_rotation import BYTES_MAX, aside_name, is_expired
from tbot_bot.reporting.report_router import OutputPaths


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secrets by name, by value and by their look, at any depth: the last structlog processor that adds text."""
    known = scrubber()
    return {known.text(name): known.value(value, name) for name, value in event.items()}


class RotatingLog(logging.Handler):
    """Appends lines to one file; a new day or too many bytes set the old file aside under its last time."""

    def __init__(self, path: Path, now: Callable[[], Instant], *, retention_days: int, bytes_max: int) -> None:
        """Open nothing yet; `now` is the wall clock, UTC nanoseconds."""
        super().__init__()
        self._path: Final = path
        self._now: Final = now
        self._retention: Final = timedelta(days=retention_days)
        self._bytes_max: Final = bytes_max

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a failure is reported by `logging` and never stops the caller."""
        try:
            line = (self.format(record) + "\n").encode()
            now = to_datetime(self._now())
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._rotate(now, len(line))
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
        except OSError:
            self.handleError(record)

    def _rotate(self, now: datetime, coming: int) -> None:
        try:
            present = self._path.stat()
        except FileNotFoundError:
            return
        last = datetime.fromtimestamp(present.st_mtime, UTC)
        if last.date() >= now.date() and present.st_size + coming <= self._bytes_max:
            return
        with suppress(FileNotFoundError):  # what looks after all logs was faster
            self._path.rename(aside_name(self._path, last))
        for old in self._path.parent.glob(f"{self._path.stem}.*.log"):
            with suppress(FileNotFoundError):
                if is_expired(old, now, self._retention):
                    old.unlink()


@contextmanager
def process_log(
    records: OutputPaths,
    process: str,
    now: Callable[[], Instant],
    *,
    retention_days: int = 7,
    bytes_max: int = BYTES_MAX,
) -> Iterator[FilteringBoundLogger]:
    """Give the log of `process` (such as `runner`) for the length of the block. `now` is the wall clock."""
    path = records.process_log(process)
    handler = RotatingLog(path, now, retention_days=retention_days, bytes_max=bytes_max)
    sink = logging.Logger(f"tbot.{process}", logging.DEBUG)  # noqa: LOG001 - our own, outside the global tree
    sink.addHandler(handler)

    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {"timestamp": iso(now()), "process": process, **event}

    logger: FilteringBoundLogger = structlog.wrap_logger(
        sink,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            stamp,
            mask_secrets,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    try:
        yield logger
    finally:
        sink.removeHandler(handler)
        handler.close()


__all__ = ["RotatingLog", "mask_secrets", "process_log"]

"""Sets the wall clock of a Python process and its children: give this folder as PYTHONPATH.

The file that TEST_CLOCK_FILE names says by how many seconds; it may change while they run. The monotonic clock is
left alone, so a change is what a suspend or a step by NTP looks like.
"""

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from apscheduler.schedulers import base

FILE = Path(os.environ["TEST_CLOCK_FILE"])
_time, _time_ns = time.time, time.time_ns


def _shift() -> float:
    return float(FILE.read_text())


class _Shifted(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(seconds=_shift())


time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + round(_shift() * 10**9)
base.datetime = _Shifted

"""The equity chart of a day's mail: drawn by matplotlib in a short process of its own, never in one that trades.

The process reads a curve as JSON from standard input and writes a PNG to standard output.
"""

import json
import subprocess
import sys
from datetime import UTC, date
from typing import Final

from tbot_bot.core.instants import MILLISECOND
from tbot_bot.reporting.equity import EquityCurve

TIMEOUT_SECONDS: Final = 60.0
ABSENT: Final = 3
"""Exit status where matplotlib is not installed."""
_DAY_MS: Final = 86_400_000
"""matplotlib counts days since 1970."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_UP, _DOWN, _LINE, _TEXT = "#1a9e5c", "#d64545", "#3b82f6", "#7d8590"
"""Colours that can be read on white and on black, since the picture has no ground of its own."""


def draw(curve: EquityCurve, timeout_seconds: float = TIMEOUT_SECONDS) -> tuple[bytes, str]:
    """Return a PNG and an empty text, or nothing and why there is no chart."""
    if len(curve.today) < 2 and len(curve.days) < 2:  # noqa: PLR2004 - a point is no curve
        return b"", "no chart: nothing was open, and there is no day before"
    given = json.dumps(
        {
            "today": [[at // MILLISECOND, float(equity)] for at, equity in curve.today],
            "days": [[day.isoformat(), float(result)] for day, result in curve.days],
        }
    )
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            (sys.executable, "-m", __name__), input=given.encode(), capture_output=True,
            timeout=timeout_seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return b"", f"no chart: drawing took more than {timeout_seconds:g} s"
    except OSError as error:
        return b"", f"no chart: {error.strerror}"
    if done.returncode == ABSENT:
        return b"", "no chart: matplotlib is not installed (the extra `backtest` brings it)"
    if done.returncode or not done.stdout.startswith(_PNG):
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return b"", f"no chart: drawing failed with status {done.returncode}: {last[:200]}"
    return done.stdout, ""


def main() -> int:
    """Draw what standard input says."""
    try:
        import matplotlib as mpl
    except ImportError:
        return ABSENT
    mpl.use("Agg")
    from matplotlib import dates
    from matplotlib.figure import Figure

    given = json.loads(sys.stdin.buffer.read())
    today = [(float(at), float(equity)) for at, equity in given["today"]]
    days = [(date.fromisoformat(day), float(result)) for day, result in given["days"]]
    shown = [name for name, points in (("today", today), ("days", days)) if len(points) > 1]
    mpl.rcParams.update({"font.size": 14, "text.color": _TEXT, "axes.labelcolor": _TEXT, "axes.edgecolor": _TEXT,
                         "xtick.color": _TEXT, "ytick.color": _TEXT})  # fmt: skip
    figure = Figure(figsize=(6.4, 2.9 * len(shown)), dpi=170, layout="constrained")
    for number, name in enumerate(shown, start=1):
        axes = figure.add_subplot(len(shown), 1, number)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_TEXT, alpha=0.25)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}")  # noqa: PLR2004
        if name == "today":
            axes.plot([at / _DAY_MS for at, _ in today], [equity for _, equity in today], color=_LINE, linewidth=2.2)
            axes.axhline(today[0][1], color=_TEXT, linewidth=1, linestyle=":")
            axes.xaxis_date(tz=UTC)
            clock = dates.DateFormatter("%H:%M", tz=UTC)  # type: ignore[no-untyped-call]  # theirs
            axes.xaxis.set_major_formatter(clock)
            axes.set_title("Equity over the day, USD (UTC)", loc="left", fontsize=14)
        else:
            places = range(len(days))
            axes.bar(places, [result for _, result in days],
                     color=[_UP if result >= 0 else _DOWN for _, result in days])  # fmt: skip
            step = max(1, len(days) // 6)
            axes.set_xticks([*places][::step], [f"{day:%d %b}" for day, _ in days][::step])
            axes.set_title(f"Result of the last {len(days)} days, USD after fees", loc="left", fontsize=14)
    figure.savefig(sys.stdout.buffer, format="png", transparent=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["ABSENT", "draw", "main"]

"""Write `tbot_bot/core/calendar_table.py` from exchange-calendars' XNYS (a development dependency).

    .venv/bin/python tools/generate_calendar.py

Run it when the exchange announces a new closing, or to move the range; the test of the calendar compares the
table with the package and with recorded sessions. Nothing in the running program needs the package.
"""

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import exchange_calendars
import pandas as pd

FIRST: Final = date(1990, 1, 1)
LAST: Final = date(2035, 12, 31)
TARGET: Final = Path(__file__).parent.parent / "tbot_bot" / "core" / "calendar_table.py"
EXTRAORDINARY: Final[dict[str, str]] = {
    "1994-04-27": "funeral of President Nixon",
    "2001-09-11": "attacks of September 11",
    "2001-09-12": "attacks of September 11",
    "2001-09-13": "attacks of September 11",
    "2001-09-14": "attacks of September 11",
    "2004-06-11": "funeral of President Reagan",
    "2007-01-02": "funeral of President Ford",
    "2012-10-29": "Hurricane Sandy",
    "2012-10-30": "Hurricane Sandy",
    "2018-12-05": "funeral of President Bush",
    "2025-01-09": "funeral of President Carter",
}
"""Unscheduled closings: the package knows the dates, the New York Stock Exchange's notices the reasons."""
HEAD: Final = '''"""Holidays and early closes of the New York Stock Exchange, {first} to {last}: generated, do not edit.

Written by `tools/generate_calendar.py` from exchange-calendars {version} (calendar XNYS).
Future years follow today's rules; a closing that is announced later needs a new run.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

FIRST: Final = date({first:%Y, %-m, %-d})
LAST: Final = date({last:%Y, %-m, %-d})
'''


def main() -> None:
    """Generate the table in place."""
    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    names = calendar.regular_holidays.holidays(FIRST.isoformat(), LAST.isoformat(), return_name=True)
    reasons = {day.date().isoformat(): str(name).replace("Dr. ", "") for day, name in names.items()} | EXTRAORDINARY
    holidays: dict[str, list[str]] = defaultdict(list)
    for day in pd.bdate_range(FIRST, LAST).difference(calendar.sessions):
        holidays[reasons[day.date().isoformat()]].append(day.date().isoformat())
    early: dict[str, list[str]] = defaultdict(list)
    for session, close in calendar.closes.dt.tz_convert("America/New_York").items():
        if close.hour != 16:  # noqa: PLR2004 - the ordinary close
            early[f"{close:%H:%M}"].append(session.date().isoformat())
    text = HEAD.format(first=FIRST, last=LAST, version=exchange_calendars.__version__)
    text += _table("HOLIDAYS", holidays, "Weekdays without trading, by reason; ISO dates.")
    text += _table("EARLY_CLOSES", early, "Days that close early, by New York closing time; ISO dates.")
    TARGET.write_text(text, encoding="utf-8")


def _table(name: str, groups: Mapping[str, Sequence[str]], meaning: str) -> str:
    lines = [f"\n{name}: Final[Mapping[str, str]] = {{"]
    for key in sorted(groups, key=lambda group: groups[group][0]):
        lines.append(f'    "{key}": """')
        lines.extend(textwrap.wrap(" ".join(groups[key]), 110, initial_indent=" " * 8, subsequent_indent=" " * 8))
        lines.append('    """,')
    return "\n".join([*lines, "}", f'"""{meaning}"""', ""])


if __name__ == "__main__":
    main()

"""`float_accounts.csv`: which of the firm's accounts at the bank stands behind which broker, and behind the reserve."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tbot_bot.config.envfile import SIZE_MAX
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.core.money import ZERO, exact

ACCOUNTS_FILE: Final = "float_accounts.csv"
TEMPLATE: Final = "float_accounts.example.csv"
_COLUMNS: Final = ("name", "account_id", "daily_limit")
_NAME: Final = re.compile("[a-z][a-z0-9_]{0,30}")
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_PLACEHOLDER: Final = "changeme"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatAccounts:
    """The bank's accounts by broker's name, the reserve's among them."""

    ids: Mapping[str, str]
    limits: Mapping[str, Decimal]
    """The most dollars that may leave an account on one New York day, as agreed with the bank."""


def load_accounts(home: Path) -> FloatAccounts | None:
    """Read the file under `home`; None where there is none.

    Raises:
        ConfigError: with a problem for each line that cannot be used.
    """
    path = home / ACCOUNTS_FILE
    try:
        if path.stat().st_size > SIZE_MAX:
            raise ConfigError([ConfigProblem(file=ACCOUNTS_FILE, expected=f"at most {SIZE_MAX} bytes")])
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError([_problem(0, f"a readable file ({error.strerror})")]) from None
    except UnicodeDecodeError:
        raise ConfigError([_problem(0, "UTF-8 text")]) from None
    return _read(lines)


def _read(lines: list[str]) -> FloatAccounts:
    problems: list[ConfigProblem] = []
    ids: dict[str, str] = {}
    limits: dict[str, Decimal] = {}
    header_seen = False
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = tuple(cell.strip() for cell in next(csv.reader([line])))
        if not header_seen:
            header_seen = True
            expected = "" if cells == _COLUMNS else f"the header {','.join(_COLUMNS)}"
        else:
            expected = _take(ids, limits, cells)
        if expected:
            problems.append(_problem(number, expected))
    if not header_seen:
        problems.append(_problem(0, f"the header {','.join(_COLUMNS)}; {TEMPLATE} shows one"))
    if problems:
        raise ConfigError(problems)
    return FloatAccounts(ids=MappingProxyType(ids), limits=MappingProxyType(limits))


def _take(ids: dict[str, str], limits: dict[str, Decimal], cells: tuple[str, ...]) -> str:
    """Enter one row; return what was expected where it cannot be."""
    if len(cells) != len(_COLUMNS):
        return f"{len(_COLUMNS)} columns {','.join(_COLUMNS)}"
    name, account, limit = cells
    if not _NAME.fullmatch(name):
        return "a broker's name in lower case, or reserve, in the first column"
    if name in ids:
        return f"each name once, not {name} again"
    if not _ID.fullmatch(account) or account == _PLACEHOLDER:
        return "the bank's id of the account in the second column: letters, digits and hyphens"
    if account in ids.values():
        return "an account of its own for each name"
    try:
        dollars = exact(limit)
    except ValueError:
        dollars = -exact(1)
    if dollars < ZERO:
        return "the most dollars that may leave the account in a day in the third column, such as 50000"
    ids[name], limits[name] = account, dollars
    return ""


def _problem(line: int, expected: str) -> ConfigProblem:
    return ConfigProblem(file=ACCOUNTS_FILE, line=line, expected=expected, mend="correct or delete the line")


__all__ = ["ACCOUNTS_FILE", "TEMPLATE", "FloatAccounts", "load_accounts"]

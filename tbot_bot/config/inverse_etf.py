"""Which inverse fund stands for a short position: by symbol, then by sector."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tbot_bot.config.envfile import read_bytes
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.fields import SYMBOL

PACKAGED: Final = Path(__file__).with_name("inverse_etf_map.csv")
_COLUMNS: Final = ("kind", "key", "etf")
_SECTOR_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseEtfMap:
    """Inverse funds by the symbol of what they mirror, and by sector (any case)."""

    by_symbol: Mapping[str, str]
    by_sector: Mapping[str, str]
    """Keys are lower case."""

    def etf_for(self, symbol: str, sector: str = "") -> str | None:
        """Return the fund for `symbol`, else the one for `sector`; None where the map has neither."""
        return self.by_symbol.get(symbol) or self.by_sector.get(sector.strip().lower())


def load_inverse_etf_map(path: Path | None = None, shown: str = "") -> InverseEtfMap:
    """Read the table at `path`, which messages call `shown`, or the packaged one; # begins a comment line.

    Raises:
        ConfigError: with a problem for each line that cannot be used.
    """
    source = path or PACKAGED
    shown = shown or (source.name if path is None else str(path))
    problems: list[ConfigProblem] = []
    tables: dict[str, dict[str, str]] = {"symbol": {}, "sector": {}}
    header_seen = False
    for number, line in enumerate(_lines(source, shown), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = tuple(cell.strip() for cell in next(csv.reader([line])))
        if not header_seen:
            header_seen = True
            expected = None if cells == _COLUMNS else f"the header {','.join(_COLUMNS)}"
        else:
            expected = _take(tables, cells)
        if expected is not None:
            problems.append(
                ConfigProblem(file=shown, line=number, expected=expected, mend="correct or delete the line")
            )
    if not header_seen:
        problems.append(
            ConfigProblem(file=shown, expected=f"the header {','.join(_COLUMNS)}", mend="the file is empty")
        )
    if problems:
        raise ConfigError(problems)
    return InverseEtfMap(by_symbol=MappingProxyType(tables["symbol"]), by_sector=MappingProxyType(tables["sector"]))


def _take(tables: dict[str, dict[str, str]], cells: tuple[str, ...]) -> str | None:
    """Enter one row; return what was expected where it cannot be."""
    if len(cells) != len(_COLUMNS):
        return "three columns kind,key,etf"
    kind, key, etf = cells
    if kind not in tables:
        return "kind symbol or sector"
    if not SYMBOL.fullmatch(etf):
        return "the symbol of a fund in the third column, in upper case"
    if kind == "symbol" and not SYMBOL.fullmatch(key):
        return "a symbol in the second column, in upper case"
    if not 0 < len(key) <= _SECTOR_MAX:
        return f"a sector of 1 to {_SECTOR_MAX} characters in the second column"
    if key == etf:
        return "a fund that is not its own opposite"
    place = key if kind == "symbol" else key.lower()
    if place in tables[kind]:
        return f"each {kind} once"
    tables[kind][place] = etf
    return None


def _lines(source: Path, shown: str) -> list[str]:
    data = read_bytes(source, shown)
    if isinstance(data, bytes):
        try:
            return data.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            data = ConfigProblem(file=shown, line=line, expected="UTF-8 text")
    mend = "correct INVERSE_ETF_MAP, or leave it empty for the packaged table"
    raise ConfigError([replace(data, variable="INVERSE_ETF_MAP", mend=mend)])

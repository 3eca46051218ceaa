"""The files that settings name: read at the start, so that no session finds out at its bell that one is missing."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import read_bytes
from tbot_bot.config.error_handler import ConfigError, ConfigProblem
from tbot_bot.config.fields import SYMBOL, Universe
from tbot_bot.config.inverse_etf import load_inverse_etf_map

BLOCK_LIST: Final = "blocklist.txt"
"""In TBOT_HOME: symbols that are never traded, one a line."""
_LINES_SHOWN_MAX: Final = 20


def universe_symbols(home: Path, universe: Universe) -> tuple[str, ...]:
    """Return the symbols that `universe` lists or whose file it names, each once, in order; none: every symbol.

    Raises:
        ConfigError: the file cannot be read, holds something else, or holds nothing, which would mean every symbol.
    """
    if universe.file is None:
        return universe.symbols
    shown = universe.file.as_posix()
    data = read_bytes(home / universe.file, shown)
    if isinstance(data, ConfigProblem):
        mend = "write one symbol a line there, or correct UNIVERSE"
        raise ConfigError([replace(data, variable="UNIVERSE", mend=mend)])
    symbols = _symbols_in(data, shown)
    if not symbols:
        mend = "add symbols, or leave UNIVERSE empty for every symbol"
        raise ConfigError([ConfigProblem(file=shown, variable="UNIVERSE", expected="at least one symbol", mend=mend)])
    return symbols


def blocked_symbols(home: Path) -> tuple[str, ...]:
    """Return the symbols that the owner never wants traded, from `blocklist.txt`; none where there is no such file.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    if not os.path.lexists(home / BLOCK_LIST):
        return ()
    data = read_bytes(home / BLOCK_LIST, BLOCK_LIST)
    if isinstance(data, ConfigProblem):
        raise ConfigError([replace(data, mend=f"write one symbol a line there, or remove {BLOCK_LIST}")])
    return _symbols_in(data, BLOCK_LIST)


def _symbols_in(data: bytes, shown: str) -> tuple[str, ...]:
    symbols: dict[str, None] = {}
    problems: list[ConfigProblem] = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if SYMBOL.fullmatch(text):
            symbols[text] = None
        else:
            expected = "one symbol a line, in upper case"
            problems.append(
                ConfigProblem(file=shown, line=number, expected=expected, mend="correct or delete the line")
            )
    if len(problems) > _LINES_SHOWN_MAX:
        expected = f"one symbol a line; {len(problems)} lines are something else, and the first of them are told here"
        problem = ConfigProblem(file=shown, expected=expected, mend="is this the right file?")
        problems = [problem, *problems[:_LINES_SHOWN_MAX]]
    if problems:
        raise ConfigError(problems)
    return tuple(symbols)


def named_file_problems(home: Path, bot: BotSettings, chosen_at: Callable[[str], str]) -> Iterator[ConfigProblem]:
    """Yield what is wrong with the files that `bot` names; `chosen_at` tells where a variable was set."""
    own_map = bot.inverse_etf_map
    readers: dict[str, Callable[[], object]] = {"UNIVERSE": lambda: universe_symbols(home, bot.universe)}
    readers[BLOCK_LIST] = lambda: blocked_symbols(home)
    if own_map is not None:
        readers["INVERSE_ETF_MAP"] = lambda: load_inverse_etf_map(home / own_map, own_map.as_posix())
    for name, read in readers.items():
        try:
            read()
        except ConfigError as error:
            see = chosen_at(name) if name != BLOCK_LIST else ""
            for problem in error.problems:
                yield problem if problem.line or not see else replace(problem, mend=f"{problem.mend}; see {see}")

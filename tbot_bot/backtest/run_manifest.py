"""What was run, on what, by which code: enough to run it again and to name what has changed since.

No clock and no machine's name is in it, so that the same run leaves the same bytes.
"""

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Final

import tbot_bot
from tbot_bot.assembly.fingerprint import room_digest
from tbot_bot.backtest.array_cache import digest_of
from tbot_bot.backtest.bar_arrays import bar_files_of
from tbot_bot.backtest.execution_model import ExecutionModel, slippage_of
from tbot_bot.backtest.model import BacktestRequest, BacktestResult, EngineChoice, Overrides
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import parse
from tbot_bot.config.error_handler import MASK, DataError
from tbot_bot.config.model import variables
from tbot_bot.config.named_files import BLOCK_LIST
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import SECOND, Duration
from tbot_bot.marketdata.chain_files import chain_paths
from tbot_bot.marketdata.feed import FUNDAMENTALS_FILE
from tbot_bot.reporting.shapes import from_plain, to_plain

LAYOUT: Final = 2
"""Of the manifest; raised when a field comes or changes its meaning."""
_WITHOUT_EXECUTION: Final = 1
_ROOMS: Final = (
    "core", "config", "strategy", "enhancements", "trading", "broker", "marketdata", "screeners", "assembly",
    "reporting", "backtest",
)  # fmt: skip
"""Everything that can change a backtest's files."""
_LIBRARIES: Final = ("numpy", "pyarrow", "numba")
_NOT_SET_AGAIN: Final = frozenset({"VERSION_TAG", "BUILD_MODE"})
"""Say which build it is, which the manifest's `code` does exactly."""
_FILES_IN_SETTINGS: Final = ("UNIVERSE", "INVERSE_ETF_MAP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A file, a folder of code or a library, and what it was."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library that computes."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Executions:
    """An `ExecutionModel` in plain words."""

    slippage: str
    """As `--slippage` takes it."""
    volume_cap: Decimal
    borrow: str
    """Path, made absolute; empty without."""
    chains: str
    """The same."""
    chain_age_s: int
    """Seconds for which a recorded quote stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One backtest as it was asked for, what it read, and what it left."""

    layout: int
    data: str
    """Path as it was given, made absolute."""
    vix: str
    """The same; empty without."""
    first: date
    last: date
    strategies: tuple[StrategyName, ...]
    """Empty: the daily sequence of the settings."""
    execution: Executions
    engine: EngineChoice
    """Which was asked for."""
    engine_ran: EngineChoice
    fallback: str
    settings: tuple[str, ...]
    """Every trading setting in force as `NAME=value`."""
    seed: int
    """Of the confidence intervals; nothing else is drawn."""
    data_fingerprint: str
    inputs: tuple[Digest, ...]
    """Data files by their names, and the lists that settings name."""
    version: str
    code: tuple[Digest, ...]
    """The rooms of the program that can change a result."""
    python: str
    libraries: tuple[Library, ...]
    files: tuple[Digest, ...]
    """What the run left beside this file."""


def manifest_of(
    request: BacktestRequest,
    result: BacktestResult,
    seed: int,
    files: Mapping[str, bytes],
    *,
    inputs: tuple[Digest, ...],
) -> Manifest:
    """Return the manifest of a run that left `files` (name and bytes)."""
    return Manifest(
        layout=LAYOUT,
        data=str(request.data.absolute()),
        vix=str(request.vix.absolute()) if request.vix else "",
        first=request.first,
        last=request.last,
        strategies=request.strategies,
        execution=executions_of(request.execution),
        engine=request.engine,
        engine_ran=result.engine,
        fallback=result.fallback,
        settings=trading_settings(result.settings),
        seed=seed,
        data_fingerprint=result.data_fingerprint,
        inputs=inputs,
        version=tbot_bot.__version__,
        code=tuple(code_digests()),
        python=platform.python_version(),
        libraries=tuple(library_versions()),
        files=tuple(Digest(name=name, sha256=hashlib.sha256(content).hexdigest()) for name, content in files.items()),
    )


def read_manifest(path: Path) -> Manifest:
    """Return the manifest at `path`.

    Raises:
        DataError: there is none, or it is not one of ours.
    """
    import json  # noqa: PLC0415 - only where one is read back

    mend = "`tbot backtest report --list` shows which runs there are."
    try:
        return from_plain(Manifest, _of_today(json.loads(path.read_bytes())))
    except FileNotFoundError:
        raise DataError("no backtest has left its manifest here", where=str(path), mend=mend) from None
    except ValueError as error:
        raise DataError(f"not a manifest of this version: {error}", where=str(path), mend=mend) from error


def request_of(manifest: Manifest, home: Path, cache: Path | None) -> BacktestRequest:
    """Return the request that runs `manifest` again: with its settings, whatever the files say today."""
    return BacktestRequest(
        home=home,
        data=Path(manifest.data),
        first=manifest.first,
        last=manifest.last,
        vix=Path(manifest.vix) if manifest.vix else None,
        strategies=manifest.strategies,
        overrides=overrides_of(manifest.settings),
        execution=_model(manifest.execution),
        engine=manifest.engine,
        cache=cache,
    )


def executions_of(model: ExecutionModel) -> Executions:
    """Return `model` in plain words."""
    return Executions(
        slippage=str(model.slippage),
        volume_cap=model.volume_cap,
        borrow=str(model.borrow.absolute()) if model.borrow else "",
        chains=str(model.chains.absolute()) if model.chains else "",
        chain_age_s=model.chain_age // SECOND,
    )


def _model(told: Executions) -> ExecutionModel:
    return ExecutionModel(
        slippage=slippage_of(told.slippage),
        volume_cap=told.volume_cap,
        borrow=Path(told.borrow) if told.borrow else None,
        chains=Path(told.chains) if told.chains else None,
        chain_age=Duration(told.chain_age_s * SECOND),
    )


def _of_today(data: object) -> object:
    """Return a manifest's data; those of the first layout executed by the defaults and did not say so."""
    if isinstance(data, dict) and data.get("layout") == _WITHOUT_EXECUTION:
        return {**data, "execution": to_plain(executions_of(ExecutionModel()))}
    return data


def overrides_of(lines: Sequence[str]) -> Overrides:
    """Return settings lines as overrides; those that say which build it was are left out."""
    entries = parse("\n".join(lines).encode(), "manifest").entries
    return tuple(
        (entry.name, entry.value) for entry in entries if entry.name not in _NOT_SET_AGAIN and entry.value != MASK
    )


def trading_settings(lines: Sequence[str]) -> tuple[str, ...]:
    """Return those of `lines` that a backtest can read: none of accounts, addresses or passwords."""
    names = {variable.name for variable in variables(BotSettings)}
    return tuple(line for line in lines if line.partition("=")[0] in names)


def inputs_of(request: BacktestRequest, settings: Sequence[str]) -> tuple[Digest, ...]:
    """Return a digest of every file that a run reads, by name.

    Raises:
        DataError: a data file is gone.
    """
    named = dict(line.partition("=")[::2] for line in settings)
    paths = list(bar_files_of(request.data)[0])
    folder = request.data if request.data.is_dir() else request.data.parent
    others = [folder / FUNDAMENTALS_FILE, request.home / BLOCK_LIST]
    others += [request.home / named[name] for name in _FILES_IN_SETTINGS if named.get(name)]
    paths += [path for path in (request.vix, request.execution.borrow) if path is not None]
    paths += [path for path in others if path.is_file()]
    chains = () if request.execution.chains is None else chain_paths(request.execution.chains)
    named_paths = [*((path.name, path) for path in paths), *((f"chains/{path.name}", path) for path in chains)]
    return tuple(Digest(name=name, sha256=digest_of(path, request.cache)) for name, path in named_paths)


def code_digests() -> Iterator[Digest]:
    """Yield a digest over the sources of each room."""
    for room in _ROOMS:
        yield Digest(name=f"tbot_bot/{room}", sha256=room_digest(room))


def changes(before: Manifest, now: Manifest) -> list[str]:
    """Return in words what of data, code and libraries differs between two manifests of one request."""
    found = list(changed_digests("data file", before.inputs, now.inputs))
    found += changed_digests("code", before.code, now.code)
    if before.version != now.version:
        found.append(f"version {before.version} is now {now.version}")
    if before.python != now.python:
        found.append(f"Python {before.python} is now {now.python}")
    versions = {library.name: library.version for library in now.libraries}
    for library in before.libraries:
        present = versions.get(library.name, "absent")
        if library.version != present:
            found.append(f"library {library.name} {library.version} is now {present}")
    known, today = dict(_pairs(before.settings)), dict(_pairs(now.settings))
    for name in sorted(known.keys() | today.keys()):
        if known.get(name) != today.get(name) and name not in _NOT_SET_AGAIN:
            found.append(f"setting {name}={known.get(name)} is now {today.get(name)}")
    return found


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition("=")
        yield name, value


def changed_digests(what: str, before: Sequence[Digest], now: Sequence[Digest]) -> Iterator[str]:
    """Yield in words which of `what` has come, gone or changed."""
    known, present = ({one.name: one.sha256 for one in digests} for digests in (before, now))
    for name in sorted(known.keys() | present.keys()):
        if name not in present:
            yield f"{what} {name} is gone"
        elif name not in known:
            yield f"{what} {name} is new"
        elif known[name] != present[name]:
            yield f"{what} {name} has changed"


def library_versions() -> Iterator[Library]:
    """Yield the libraries that compute, as they are installed here."""
    for name in _LIBRARIES:
        try:
            yield Library(name=name, version=metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Library(name=name, version="absent")


__all__ = [
    "Digest", "Executions", "Library", "Manifest", "changed_digests", "changes", "code_digests", "executions_of",
    "inputs_of", "library_versions", "manifest_of", "overrides_of", "read_manifest", "request_of", "trading_settings",
]  # fmt: skip

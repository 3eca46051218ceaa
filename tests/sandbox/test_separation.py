"""The sandbox and the adapters share no code: a mistake made twice by one hand would judge itself right."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "tbot_bot"
VENDORS = ("alpaca", "ibkr", "finnhub", "tradier", "webull", "robinhood")
ADAPTER_ROOMS = ("broker", "marketdata", "screeners", "treasury")
CLIENT_LIBRARIES = ("alpaca", "ib_async", "ib_insync", "ibapi", "finnhub")


def adapters():
    """Return every module of an adapter: whatever of the adapters' rooms names a vendor."""
    files = (file for room in ADAPTER_ROOMS for file in (PACKAGE / room).rglob("*.py"))
    return {name_of(file) for file in files if any(vendor in file.stem for vendor in VENDORS)}


def name_of(file):
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)


def imports_of(text):
    """Return the modules that a text imports, also within functions; of `from a import b`, both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def offences(text, forbidden):
    """Return what a text imports of `forbidden` modules or from below them."""
    return {name for name in imports_of(text) for ban in forbidden if name == ban or name.startswith(f"{ban}.")}


def reached(file, seen):
    """Return every module of ours that `file` imports, directly or through others."""
    for name in sorted(imports_of(file.read_text(encoding="utf-8"))):
        path = REPOSITORY.joinpath(*name.split(".")).with_suffix(".py")
        if name.startswith("tbot_bot.") and name not in seen and path.is_file():
            seen.add(name)
            reached(path, seen)
    return seen


SANDBOX = sorted((PACKAGE / "sandbox").rglob("*.py"))


@pytest.mark.parametrize("file", SANDBOX, ids=lambda file: file.stem)
def test_the_sandbox_imports_no_adapter_and_no_vendors_client(file):
    assert offences(file.read_text(encoding="utf-8"), [*adapters(), *CLIENT_LIBRARIES]) == set()


def test_the_sandbox_reaches_no_adapter_through_others_either():
    seen: set[str] = set()
    for file in SANDBOX:
        reached(file, seen)
    assert "tbot_bot.broker.matching" in seen, "the matching engine is shared on purpose"
    assert seen & adapters() == set()


def test_no_adapter_imports_the_sandbox():
    files = (file for room in ADAPTER_ROOMS for file in (PACKAGE / room).rglob("*.py"))
    assert {
        name_of(file) for file in files if offences(file.read_text(encoding="utf-8"), ["tbot_bot.sandbox"])
    } == set()


def test_there_are_adapters_to_keep_apart():
    assert {"tbot_bot.broker.broker_alpaca", "tbot_bot.broker.broker_ibkr"} <= adapters()
    assert "tbot_bot.broker.matching" not in adapters()


@pytest.mark.parametrize(
    "text",
    [
        "import tbot_bot.broker.broker_alpaca",
        "from tbot_bot.broker import broker_alpaca",
        "from tbot_bot.broker.broker_alpaca import AlpacaBroker",
        "def f():\n    from tbot_bot.broker import broker_alpaca as b",
        "from alpaca.trading.client import TradingClient",
    ],
)
def test_a_forbidden_import_would_be_found(text):
    assert offences(text, ["tbot_bot.broker.broker_alpaca", "alpaca"])
    assert not offences("from tbot_bot.sandbox import alpaca", ["alpaca"])

"""What every test shares: a clean environment, the recorded data beside the checkout, reproducible properties."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tbot_bot.config.scrub import forget

REPOSITORY = Path(__file__).resolve().parent.parent
# Read at import, before the environment is cleared.
SHARED = Path(os.environ.get("TBOT_SHARED") or REPOSITORY.parent / "shared").resolve()
SHARED_ABSENT = "shared data absent: "
UNITS_NOT_PROVEN = "systemd units not proven: "

# Variables of the bot, of its brokers and of the machinery that starts it. A developer's shell may hold real keys.
OWNERS_VARIABLES = (
    "ALERT_",
    "ALPACA_",
    "APCA_",
    "BACKUP_",
    "CONTROL_DIR",
    "CREDENTIALS_DIRECTORY",
    "DATABASE_URL",
    "ENCRYPTED_PASSWORD",
    "ENCRYPTION_KEY",
    "ENVIRONMENT",
    "ENV_BOT_",
    "FINNHUB_",
    "IBKR_",
    "MERCURY_",
    "NOTIFY_SOCKET",
    "SLACK_",
    "SMTP_",
    "STRAT_",
    "TBOT_",
    "TEST_MODE",
    "VERSION_TAG",
    "WATCHDOG_",
)

# How wide and how bright the caller's terminal is: what is printed may not depend on it.
TERMINALS_VARIABLES = ("CLICOLOR", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PY_COLORS", "TTY_")

# A shell that runs us in the background has us ignore Ctrl-C, and what we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One machine's slow minute is no failure, and the same commit gives the same answer twice.
# To look further: --hypothesis-profile=explore
settings.register_profile("house", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the owner's settings, credentials and terminal; a test that wants some sets them itself."""
    for name in [name for name in os.environ if name.startswith((*OWNERS_VARIABLES, *TERMINALS_VARIABLES))]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    """Let no test mask the secrets of the one before it."""
    forget()
    yield
    forget()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of recorded data beside the checkout, or skip and say so at the end of the run."""
    if not (SHARED / "data").is_dir():
        pytest.skip(
            f"{SHARED_ABSENT}no folder 'data' in ../{SHARED.name} beside the checkout (TBOT_SHARED names another)"
        )
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever uses the recorded data, so that nobody has to remember it."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("shared_data")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly how much was not proven: a skip in a quiet run is easily overlooked."""
    for reason, count in Counter(_reasons_for_skipping(terminalreporter)).items():
        terminalreporter.write_line(f"NOT PROVEN: {count} tests skipped, {reason}", yellow=True, bold=True)


def _reasons_for_skipping(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if SHARED_ABSENT in reason or UNITS_NOT_PROVEN in reason:
            yield reason.removeprefix("Skipped: ")

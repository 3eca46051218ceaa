"""Writing exports of the ledger: forms that are a file, and those that need a mapping, a folder, or the other books."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.accounting.exporters import EXPORTERS
from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.ledger_reader import LedgerReader, open_ledger_reader
from tbot_bot.accounting.manager_exporter import api_lines_by, tab_file, tab_texts
from tbot_bot.accounting.manager_file import write_manager_file
from tbot_bot.accounting.manager_mapping import BYTES_MAX, OWN, BusinessMap, parse, template
from tbot_bot.accounting.paper_and_live import match_lines
from tbot_bot.accounting.tax_exports import identical_of, tax_lot_lines_by
from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.identity import Mode
from tbot_bot.reporting.atomic import replace_file
from tbot_bot.reporting.report_router import records_for

MANAGER_SUFFIX: Final = ".manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAsked:
    """What is to be exported, and with what."""

    form: str
    out: Path
    mapping: Path | None = None
    """For Manager's forms; None: the ledger's own GUIDs."""
    identical: Path | None = None
    """For tax lots: groups of identical instruments."""


def export(home: Path, config: BooksConfig, asked: ExportAsked) -> str:
    """Write the export; return what was written, in words.

    Raises:
        LedgerError: a ledger, the mapping or the list cannot be read, or lacks something.
        RecordsError: the file cannot be written.
    """
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger_reader(config.ledger))
        number, _ = ledger.head()
        words = f"{number} entries as {asked.form}"
        match asked.form:
            case "manager-tsv":
                return _tabs(ledger, asked)
            case "manager-file":
                return f"{write_manager_file(asked.out, ledger)} objects; experimental, never opened in Manager.io yet"
            case "manager-mapping":
                replace_file(asked.out, template(ledger).encode())
                return "fill in the GUID of each account, and Manager's own headers"
            case "paper-and-live":
                _write(asked.out, match_lines(*(_books(home, mode, stack) for mode in (Mode.PAPER, Mode.LIVE))))
                return "paper beside live"
            case "manager-api":
                _write(asked.out, api_lines_by(ledger, mapping_at(asked.mapping)))
            case "tax-lots":
                groups = identical_of(_text(asked.identical), str(asked.identical)) if asked.identical else {}
                _write(asked.out, tax_lot_lines_by(ledger, groups))
            case name:
                _write(asked.out, EXPORTERS[name].write(ledger))
    return f"{words}{_own_guids(asked)}"


def mapping_at(path: Path | None) -> BusinessMap:
    """Return the mapping in the file at `path`; without one, that to the ledger's own GUIDs.

    Raises:
        LedgerError: it cannot be read, or a header of it lacks a column.
    """
    return OWN if path is None else parse(_text(path), str(path))


def write_after_day(config: BooksConfig) -> Path:
    """Write the experimental `.manager` file beside the ledger; return where it is.

    Raises:
        LedgerError: it could not be made. The one of before is untouched.
    """
    path = manager_path(config)
    with open_ledger_reader(config.ledger) as ledger:
        write_manager_file(path, ledger)
    return path


def try_after_day(config: BooksConfig, log: FilteringBoundLogger) -> None:
    """Do the same where a failure must not end the day: the books themselves are whole."""
    try:
        write_after_day(config)
    except TbotError as error:
        log.error("manager_file_not_written", error=str(error))  # noqa: TRY400 - the words say it all


def manager_path(config: BooksConfig) -> Path:
    """Return where the `.manager` file of these books is."""
    return config.ledger.with_suffix(MANAGER_SUFFIX)


def _tabs(ledger: LedgerReader, asked: ExportAsked) -> str:
    texts = tab_texts(ledger, mapping_at(asked.mapping))
    if asked.out.exists() and not asked.out.is_dir():
        raise LedgerError(
            "this is a file", where=str(asked.out), mend="Name a folder: each tab gets a file of its own."
        )
    for tab, text in texts.items():
        replace_file(asked.out / tab_file(tab), text.encode())
    return f"{', '.join(tab_file(tab) for tab in texts)}{_own_guids(asked)}"


def _own_guids(asked: ExportAsked) -> str:
    if asked.mapping is not None or not asked.form.startswith("manager-"):
        return ""
    return "; the account GUIDs are the ledger's own, which no other business knows: see --mapping"


def _books(home: Path, mode: Mode, stack: ExitStack) -> LedgerReader:
    return stack.enter_context(open_ledger_reader(records_for(home, mode, test_mode=False).ledger))


def _write(path: Path, lines: Iterator[str]) -> None:
    replace_file(path, "".join(f"{line}\n" for line in lines).encode())


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise LedgerError("it is far too long", where=str(path), mend="Look whether it is the right file.")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        mend = "`tbot ledger export --to manager-mapping` writes a mapping; text is UTF-8."
        raise LedgerError(f"it cannot be read ({error})", where=str(path), mend=mend) from error


__all__ = ["ExportAsked", "export", "manager_path", "mapping_at", "try_after_day", "write_after_day"]

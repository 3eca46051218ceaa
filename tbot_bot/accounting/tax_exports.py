"""Tax lots as comma-separated values, and the list of instruments that count as identical."""

from collections.abc import Iterator

from tbot_bot.accounting.audit_exports import csv_line
from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.tax_lots import Disposal, Identical, TaxLot, tax_book
from tbot_bot.accounting.units import spelled

TAX_COLUMNS = (
    "state", "broker", "instrument", "position", "lot", "opened", "held_since", "closed", "term", "quantity",
    "proceeds", "basis", "gain", "wash_sale", "washed_quantity", "disallowed_loss", "taxable_gain", "replaces_washed",
    "washed_loss_in_basis",
)  # fmt: skip


def tax_lot_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield each disposal, then each lot that is open; only the same instrument counts as identical."""
    yield from tax_lot_lines_by(ledger, {})


def tax_lot_lines_by(ledger: LedgerReader, identical: Identical) -> Iterator[str]:
    """Yield the same with instruments that are listed as identical."""
    book = tax_book(ledger, identical)
    yield csv_line(TAX_COLUMNS)
    for disposal in book.disposals:
        yield csv_line(_closed(disposal))
    for lot in book.lots:
        yield csv_line(_open(lot))


def identical_of(text: str, where: str) -> dict[str, str]:
    """Read groups of identical instruments: a line for each, its symbols separated by commas; # begins a remark.

    Raises:
        LedgerError: a line is no group, or a symbol is in two.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        symbols = [one.strip().upper() for one in raw.partition("#")[0].split(",") if one.strip()]
        if not symbols:
            continue
        spot = f"{where}, line {number}"
        if len(symbols) == 1:
            raise LedgerError("one symbol is no group", where=spot, mend="Write those that are identical: SPY, VOO.")
        for symbol in symbols:
            if symbol in found:
                raise LedgerError(
                    f"{symbol} stands in two groups", where=spot, mend="Make one group of all that are identical."
                )
            found[symbol] = symbols[0]
    return found


def _closed(one: Disposal) -> list[str]:
    lot = one.lot
    return [
        "closed", *_lot_cells(lot), one.day.isoformat(), "long" if one.long_term else "short",
        spelled(one.quantity, 0), spelled(one.proceeds), spelled(one.basis), spelled(one.gain),
        "yes" if one.washed_quantity else "no", spelled(one.washed_quantity, 0), spelled(one.disallowed),
        spelled(one.taxable), "yes" if lot.replaces else "no", spelled(lot.added),
    ]  # fmt: skip


def _open(lot: TaxLot) -> list[str]:
    basis = lot.added if lot.short else lot.money + lot.added
    return [
        "open", *_lot_cells(lot), "", "", spelled(lot.quantity, 0), spelled(lot.money) if lot.short else "",
        spelled(basis), "", "", "", "", "", "yes" if lot.replaces else "no", spelled(lot.added),
    ]  # fmt: skip


def _lot_cells(lot: TaxLot) -> list[str]:
    return [
        lot.broker, lot.instrument, "short" if lot.short else "long", lot.lot, lot.opened.isoformat(),
        lot.since.isoformat(),
    ]  # fmt: skip


__all__ = ["TAX_COLUMNS", "identical_of", "tax_lot_lines", "tax_lot_lines_by"]

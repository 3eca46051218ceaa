"""The row that trading live without a proof leaves in the journal, and which strategies it holds for."""

from dataclasses import dataclass
from typing import Final

from tbot_bot.core.codec import CodecError, loads, record
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ProofWaived:
    """A person lets strategies trade live whose code has no dry run or backtest on record; for this code alone."""

    at: Instant
    """Real time."""
    by: str
    why: str
    code_fingerprint: str
    strategies: tuple[StrategyName, ...]


_WAIVED: Final = f'{{"_":"{ProofWaived.__name__}"'


def waivers_in(journal: JournalReader, code: str) -> dict[StrategyName, ProofWaived]:
    """Return by strategy the last waiver for the deciding code `code`.

    Raises:
        JournalError: the journal is damaged.
    """
    found: dict[StrategyName, ProofWaived] = {}
    for row in journal.rows(session="", kind=Kind.CONTROL):
        if not row.payload.startswith(_WAIVED):
            continue
        try:
            waived = loads(row.payload)
        except CodecError:
            continue  # of a newer version: it holds for other code
        if isinstance(waived, ProofWaived) and waived.code_fingerprint == code:
            found |= dict.fromkeys(waived.strategies, waived)
    return found


__all__ = ["ProofWaived", "waivers_in"]

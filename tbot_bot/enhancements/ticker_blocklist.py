"""One trade per symbol and day, and none in what the operator has listed.

Which symbols were traded comes from the journal, so a restart does not forget them.
"""

from collections.abc import Collection

from tbot_bot.enhancements.filters import FilterAnswer, FilterName, allow, block


def ticker_blocklist(symbol: str, traded_today: Collection[str], operator_list: Collection[str]) -> FilterAnswer:
    """Block `symbol`, the underlying, where it was traded today by any strategy or is on the operator's list."""
    if symbol in operator_list:
        return block(FilterName.TICKER_BLOCKLIST, f"{symbol} is on the operator's block list")
    if symbol in traded_today:
        return block(FilterName.TICKER_BLOCKLIST, f"{symbol} was already traded today")
    return allow(FilterName.TICKER_BLOCKLIST, f"{symbol} is not listed and not traded today")

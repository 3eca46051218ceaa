"""Whether what was held was covered by closing orders at the venue, by the venue's own times; none of the bot."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

NANO: Final = 1e9


def unprotected(account) -> Iterator[tuple[str, int, int]]:
    """Yield (symbol, since, until) in market nanoseconds where more was held than closing orders stood for."""
    orders = {str(order["number"]): order for order in account["orders"]}
    moments: defaultdict[str, dict[int, None]] = defaultdict(dict)
    fills: defaultdict[str, list[tuple[int, str, Decimal]]] = defaultdict(list)
    for fill in account["fills"]:
        order = orders[fill["client_order_id"]]
        symbol = order["ticket"]["instrument"]["symbol"]
        fills[symbol].append((fill["transacted_at"], fill["client_order_id"], Decimal(fill["quantity"])))
    for order in orders.values():
        times = moments[order["ticket"]["instrument"]["symbol"]]
        times[order["submitted_at"]] = None
        if order["ended_at"] is not None:
            times[order["ended_at"]] = None
    for symbol, made in fills.items():
        instants = sorted({*moments[symbol], *(at for at, _, _ in made)})
        since: int | None = None
        for at in instants:
            bare = _held(orders, made, at) > _covered(orders, made, symbol, at)
            if bare and since is None:
                since = at
            elif not bare and since is not None:
                yield symbol, since, at
                since = None
        if since is not None:
            yield symbol, since, instants[-1]


def _held(orders, made: Sequence[tuple[int, str, Decimal]], at: int) -> Decimal:
    """Return the quantity held (long) after what was executed until `at`."""
    return sum((q if orders[number]["ticket"]["buys"] else -q for when, number, q in made if when <= at), Decimal(0))


def _covered(orders, made: Sequence[tuple[int, str, Decimal]], symbol: str, at: int) -> Decimal:
    """Return for how much closing orders work at `at`."""
    total = Decimal(0)
    for number, order in orders.items():
        ticket = order["ticket"]
        ended = order["ended_at"]
        if ticket["buys"] or ticket["instrument"]["symbol"] != symbol or order["phase"] == "rejected":
            continue
        if order["submitted_at"] <= at and (ended is None or at < ended):
            done = sum((q for when, of, q in made if of == number and when <= at), Decimal(0))
            total += Decimal(ticket["quantity"]) - done
    return total


def outages_of(marks, lives, brokers: Sequence[str]) -> list[tuple[float, float]]:
    """Return from when to when (seconds since the epoch) the runner was dead or not reconciled yet."""
    found = []
    for number, life in enumerate(lives):
        if life["status"] == 0 or number + 1 == len(lives):
            continue
        until = _recovered(marks, lives[number + 1 :], brokers)
        found.append((life["ended"], max(until, life["ended"])))
    merged: list[tuple[float, float]] = []
    for since, until in found:
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged


def _recovered(marks, lives, brokers: Sequence[str]) -> float:
    """Return when the first of `lives` that came so far had reconciled every broker; its end, where none has."""
    for life in lives:
        told = [mark for mark in marks if life["begun"] <= mark["at"] / NANO <= life["ended"] + 0.001]
        if not any(mark["what"] == "resumed" for mark in told):
            if life["status"] == 0:  # nothing had begun
                return float(life["begun"])
            continue
        firsts = {mark["what"]: mark["at"] / NANO for mark in reversed(told)}
        times: list[float | None] = [firsts.get(f"reconciled {name}") for name in brokers]
        if all(time is not None for time in times):
            return max(time for time in times if time is not None)
    return float(lives[-1]["ended"])

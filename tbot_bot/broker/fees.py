"""What an execution costs: commissions by broker, regulatory fees by date, as tables.

All amounts are positive dollars. Regulatory fees are rounded up to the cent, each by itself, per execution,
which is how retail brokers pass them on. Commissions follow the whole order, so that a minimum per order is
charged once however many executions the order takes.

Left out because retail schedules absorb or vary them: exchange and clearing fees of IBKR's tiered plan,
the consolidated audit trail fee, short borrow interest.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.core.instruments import AssetClass
from tbot_bot.core.money import CENT, ZERO, ceil_to

_MILLION: Final = Decimal(1_000_000)


def _rates(*rows: tuple[str, str]) -> tuple[tuple[date, Decimal], ...]:
    return tuple((date.fromisoformat(day), Decimal(rate)) for day, rate in rows)


SECTION_31: Final = _rates(
    ("2013-05-25", "17.40"),
    ("2014-03-18", "22.10"),
    ("2015-02-14", "18.40"),
    ("2016-02-16", "21.80"),
    ("2017-07-04", "23.10"),
    ("2018-05-22", "13.00"),
    ("2019-04-16", "20.70"),
    ("2020-02-18", "22.10"),
    ("2021-02-25", "5.10"),
    ("2022-05-14", "22.90"),
    ("2023-02-27", "8.00"),
    ("2024-05-22", "27.80"),
    ("2025-05-14", "0.00"),
    ("2026-04-04", "20.60"),
)
"""Dollars per million dollars of sales, by first charge date.

Source: the SEC's fee rate advisories under Section 31 of the Securities Exchange Act of 1934, as repeated in
FINRA's information notices (for instance of 3 March 2014 and 7 May 2018).
"""

TAF_SHARE: Final = _rates(
    ("2012-07-01", "0.000119"),
    ("2022-01-01", "0.000130"),
    ("2023-01-01", "0.000145"),
    ("2024-01-01", "0.000166"),
    ("2026-01-01", "0.000195"),
)
"""FINRA trading activity fee in dollars per share sold. Source: FINRA By-Laws, Schedule A, Section 1."""

TAF_SHARE_CAP: Final = _rates(
    ("2012-07-01", "5.95"),
    ("2022-01-01", "6.49"),
    ("2023-01-01", "7.27"),
    ("2024-01-01", "8.30"),
    ("2026-01-01", "9.79"),
)
"""Most dollars of trading activity fee for one sale of shares; same source."""

TAF_CONTRACT: Final = _rates(
    ("2012-07-01", "0.00200"),
    ("2022-01-01", "0.00218"),
    ("2023-01-01", "0.00244"),
    ("2024-01-01", "0.00279"),
    ("2026-01-01", "0.00329"),
)
"""FINRA trading activity fee in dollars per option contract sold; same source."""

OPTIONS_REGULATORY: Final = _rates(("2012-01-01", "0.0427"), ("2021-01-01", "0.03"))
"""Options regulatory fee in dollars per contract, bought or sold: the sum over exchanges as brokers pass it on.

The exchanges change it twice a year; these are round figures of brokers' published fee pages (2015 to 2018:
0.0427), good to a cent or two per contract.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """A broker's own charge for one order, in dollars, zero where it asks nothing."""

    per_share: Decimal = ZERO
    per_contract: Decimal = ZERO
    minimum: Decimal = ZERO
    """Per order that executed at all."""
    cap_fraction: Decimal | None = None
    """Most that an order of shares costs, as a fraction of its value; goes before the minimum."""

    def of_order(self, asset_class: AssetClass, quantity: Decimal, value: Decimal) -> Decimal:
        """Return the commission, in whole cents rounded up, of an order that executed `quantity` for `value` so far."""
        if quantity <= ZERO:
            return ZERO
        if asset_class is AssetClass.OPTION:
            return ceil_to(max(self.per_contract * quantity, self.minimum if self.per_contract else ZERO), CENT)
        charge = max(self.per_share * quantity, self.minimum)
        if self.cap_fraction is not None:
            charge = min(charge, self.cap_fraction * value)
        return ceil_to(charge, CENT)


COMMISSIONS: Final[Mapping[str, Commission]] = MappingProxyType(
    {
        # alpaca.markets fee page (2024): no commission on US shares and options
        "alpaca": Commission(),
        # interactivebrokers.com, US, fixed pricing (2024): stocks 0.005, options 0.65 for up to 10,000 contracts
        "ibkr": Commission(
            per_share=Decimal("0.005"),
            per_contract=Decimal("0.65"),
            minimum=Decimal("1.00"),
            cap_fraction=Decimal("0.01"),
        ),
        "sim": Commission(),
    }
)


def commission_of(broker: str) -> Commission:
    """Return the commission table of `broker`; a broker without one trades as `sim` does."""
    return COMMISSIONS.get(broker, COMMISSIONS["sim"])


def rate_at(table: tuple[tuple[date, Decimal], ...], day: date) -> Decimal:
    """Return the rate in force on `day`; before the first row, the first row's."""
    index = bisect_right(table, day, key=lambda row: row[0])
    return table[max(index - 1, 0)][1]


def regulatory_fees(asset_class: AssetClass, *, sale: bool, quantity: Decimal, value: Decimal, at: Instant) -> Decimal:
    """Return what regulators take of one execution: each fee rounded up to the cent.

    `value` is dollars with the multiplier in. `at` gives the trading day: New York's regular hours and extended
    hours until 19:00 lie within one UTC day.
    """
    day = to_datetime(at).date()
    section_31 = ceil_to(value * rate_at(SECTION_31, day) / _MILLION, CENT) if sale else ZERO
    if asset_class is AssetClass.OPTION:
        regulatory = ceil_to(quantity * rate_at(OPTIONS_REGULATORY, day), CENT)
        activity = ceil_to(quantity * rate_at(TAF_CONTRACT, day), CENT) if sale else ZERO
        return section_31 + activity + regulatory
    if not sale:
        return ZERO
    activity = min(ceil_to(quantity * rate_at(TAF_SHARE, day), CENT), rate_at(TAF_SHARE_CAP, day))
    return section_31 + activity

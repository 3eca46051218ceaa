"""The chart of accounts, its mirror in SQL, and the units."""

import uuid

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.accounting.ledger_files import fill
from tbot_bot.accounting.ledger_schema import CHART, AccountKind, Role, account
from tbot_bot.accounting.lots import share
from tbot_bot.accounting.units import EntryRefused, dollars_of, quantity_units, spelled, to_units
from tbot_bot.core.identity import Mode
from tests.support.ledger_kit import D


def test_the_sql_mirrors_the_chart():
    connection = apsw.Connection(":memory:")
    fill(connection, Mode.PAPER)
    rows = set(connection.execute("SELECT role, kind, live, paper, title FROM chart"))
    assert rows == {(one.role.value, one.kind.value, one.live, one.paper, one.title) for one in CHART}
    connection.close()


def test_every_role_has_one_account_of_its_kind_and_a_guid_that_never_changes():
    assert {one.role for one in CHART} == set(Role)
    assert {one.kind for one in CHART} == set(AccountKind)
    cash = account(Mode.LIVE, Role.CASH, "alpaca")
    assert (cash.name, cash.guid) == ("Assets:Alpaca:Cash", "687adb4e-fad1-591e-abeb-07e01b1c4fe3")
    assert uuid.UUID(cash.guid).version == 5
    assert account(Mode.PAPER, Role.CASH, "alpaca").guid != cash.guid


@pytest.mark.parametrize(
    ("mode", "role", "broker"),
    [
        (Mode.LIVE, Role.RESET, ""),
        (Mode.BACKTEST, Role.CASH, "a"),
        (Mode.PAPER, Role.CASH, ""),
        (Mode.PAPER, Role.CAPITAL, "a"),
    ],
)
def test_an_account_that_the_chart_does_not_have_is_refused(mode, role, broker):
    with pytest.raises(ValueError, match="account"):
        account(mode, role, broker)


def test_an_amount_is_rounded_once_half_to_even():
    assert to_units(D("0.0000000005")) == 0
    assert to_units(D("0.0000000015")) == 2
    assert to_units(D("-1.23")) == -1_230_000_000
    with pytest.raises(EntryRefused):
        to_units(D(10**10))


def test_a_quantity_is_never_rounded():
    assert quantity_units(D("0.123456789")) == 123_456_789
    with pytest.raises(EntryRefused):
        quantity_units(D("0.1234567891"))


@given(st.integers(-(10**18), 10**18))
def test_what_is_spelled_reads_back(units):
    assert to_units(D(spelled(units))) == units
    assert dollars_of(units) == D(spelled(units, 0))


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**12), st.data())
def test_a_share_is_the_nearest_integer(cost, whole, data):
    part = data.draw(st.integers(0, whole))
    for sign in (1, -1):
        assert abs(share(cost, sign * part, sign * whole) * whole - cost * part) * 2 <= whole
    assert share(cost, whole, whole) == cost

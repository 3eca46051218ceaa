"""Finding IB's contract for an instrument, once per instrument and connection; and asking what the account holds."""

from typing import TYPE_CHECKING, Final

from tbot_bot.broker.ibkr_account import SUMMARY_TAGS
from tbot_bot.broker.ibkr_contracts import SMART, contract_of, stock_contract
from tbot_bot.broker.ibkr_link import GatewayLink, RequestFailed
from tbot_bot.core.errors import BrokerRefused
from tbot_bot.core.instruments import Instrument

if TYPE_CHECKING:
    from ib_async import IB, AccountValue, Contract

_NO_CONTRACT: Final = frozenset({200, 321})


class ContractDesk:
    """Asks the gateway what things are, and remembers the answers: contract numbers never change."""

    def __init__(self, link: GatewayLink) -> None:
        """`link` is asked."""
        self._link = link
        self._known: dict[str, Contract] = {}

    async def of(self, instrument: Instrument) -> "Contract":
        """Return the contract of `instrument`.

        Raises:
            BrokerRefused: IB knows none, or more than one.
            BrokerUnavailable: no answer.
        """
        return await self.qualified(instrument.symbol, contract_of(instrument))

    async def of_stock(self, symbol: str) -> "Contract":
        """Return the contract of a share or ETF; raises as `of` does."""
        return await self.qualified(symbol, stock_contract(symbol))

    async def qualified(self, name: str, contract: "Contract") -> "Contract":
        """Return what IB makes of `contract`, remembered as `name`; raises as `of` does."""
        if name not in self._known:
            self._known[name] = await self._ask(name, contract)
        return self._known[name]

    async def _ask(self, name: str, contract: "Contract") -> "Contract":
        try:
            found = await self._link.ask(
                f"contract of {name}", lambda ib: ib.reqContractDetailsAsync(contract), family="contracts"
            )
        except RequestFailed as failed:
            if failed.code in _NO_CONTRACT:
                raise BrokerRefused(f"IB knows no {name}: {failed}") from None
            raise
        fitting = [one for details in found if (one := details.contract) is not None and _fits(one, contract)]
        if len(fitting) != 1:
            raise BrokerRefused(f"IB knows {len(fitting)} contracts for {name}")
        [one] = fitting
        if contract.exchange == SMART:
            one.exchange = SMART  # the answer names the primary exchange
        return one


def _fits(found: "Contract", wanted: "Contract") -> bool:
    return found.secType == wanted.secType and found.currency == wanted.currency


async def account_summary(ib: "IB", account: str) -> "list[AccountValue]":
    """Return the figures of `account`, asked anew."""
    number = ib.client.getReqId()
    answer = ib.wrapper.startReq(number)  # type: ignore[no-untyped-call]  # the library's own, here and below
    ib.wrapper.acctSummary.clear()
    ib.client.reqAccountSummary(number, "All", SUMMARY_TAGS)  # type: ignore[no-untyped-call]
    try:
        await answer
    finally:
        if ib.isConnected():
            ib.client.cancelAccountSummary(number)  # type: ignore[no-untyped-call]  # IB serves two at a time
    return [value for value in ib.wrapper.acctSummary.values() if value.account == account]

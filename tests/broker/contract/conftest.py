"""Which brokers keep the contract. A new one is one line here and a module with its floor."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.broker.contract.alpaca_floor import AlpacaFloor
from tests.broker.contract.floor import Floor, Trader
from tests.broker.contract.ibkr_floor import IbkrFloor
from tests.broker.contract.sim_floor import SimFloor

FLOORS: dict[str, Callable[[Path], Floor]] = {
    "sim": SimFloor,
    "alpaca": lambda _: AlpacaFloor(),
    "ibkr": lambda _: IbkrFloor(),
}


@pytest.fixture(params=FLOORS)
async def floor(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Floor]:
    """Return a broker in front of a venue, connected."""
    made = FLOORS[request.param](tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.fixture
def trader(floor: Floor) -> Trader:
    """Return somebody who asks it and hears its news."""
    return Trader(floor)

"""What the plan of faults says of the gateway's line to the vendor, its data farms and the account's data session.

Rules with these places stand for as long as they are in the plan (and within their hours):

    dropped     at `line`          1100, then 1102: the data is kept
    lost_after  at `line`          1100, then 1101: subscriptions to data are lost
    dropped     at `data_farm`     2103 and 2105, then 2104 and 2106
    rejected    at `data_session`  no data for new requests: another session of the account has it (10197)
"""

from fnmatch import fnmatchcase
from typing import Final

from tbot_bot.core.calendar import exchange_time
from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tbot_bot.sandbox.tws_gateway import VENDOR, Gateway

LINE: Final = "line"
DATA_FARM: Final = "data_farm"
DATA_SESSION: Final = "data_session"


class PlanFollower:
    """Keeps the gateway as the plan has it; tells clients of each change once."""

    def __init__(self, gateway: Gateway) -> None:
        """Begin with everything up."""
        self._gateway = gateway
        self._line: FaultKind | None = None
        self._farm_broken = False
        self._competing = False

    def look(self) -> None:
        """Compare with the plan, and follow it."""
        line = self._standing(LINE, FaultKind.DROPPED, FaultKind.LOST_AFTER)
        if line is not None and self._line is None:
            self._gateway.announce(codes.LINK_LOST)
        elif line is None and self._line is not None:
            kept = self._line is FaultKind.DROPPED
            self._gateway.announce(codes.LINK_BACK if kept else codes.LINK_BACK_DATA_LOST)
        self._line = line
        broken = self._standing(DATA_FARM, FaultKind.DROPPED) is not None
        if broken is not self._farm_broken:
            broke, healed = (
                (codes.DATA_FARM_BROKEN, codes.HISTORY_FARM_BROKEN),
                (codes.DATA_FARM_OK, codes.HISTORY_FARM_OK),
            )
            for code in broke if broken else healed:
                self._gateway.announce(code)
        self._farm_broken = broken
        competing = self._standing(DATA_SESSION, FaultKind.REJECTED) is not None
        if competing is not self._competing:
            self._gateway.competing_session = competing
        self._competing = competing

    def _standing(self, place: str, *kinds: FaultKind) -> FaultKind | None:
        rules = self._gateway.faults.rules
        return next(
            (rule.kind for rule in rules if rule.place == place and rule.kind in kinds and self._holds(rule)), None
        )

    def _holds(self, rule: FaultRule) -> bool:
        clock = exchange_time(self._gateway.exchange.now()).time()
        in_time = (rule.since is None or clock >= rule.since) and (rule.until is None or clock < rule.until)
        return in_time and fnmatchcase(VENDOR, rule.vendor)

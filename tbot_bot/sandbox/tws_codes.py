"""The numbered messages of the TWS protocol that the sandbox sends; the texts are the vendor's.

Source: the vendor's public list of message codes, and what public client code quotes.
"""

from typing import Final

from tbot_bot.sandbox.tws_replies import Problem

SYSTEM: Final = -1
"""The request id of what concerns the whole connection."""
DUPLICATE_ORDER_ID: Final = 103
CANNOT_MODIFY_FILLED: Final = 104
MODIFIED_ORDER_DIFFERS: Final = 105
PRICE_VARIATION: Final = 110
HISTORY_ERROR: Final = 162
NO_SUCH_CONTRACT: Final = 200
ORDER_REJECTED: Final = 201
ORDER_CANCELLED: Final = 202
UNKNOWN_TICKER: Final = 300
READING_FAILED: Final = 320
VALIDATION_FAILED: Final = 321
CLIENT_ID_IN_USE: Final = 326
NOT_SUBSCRIBED: Final = 354
UNSUPPORTED_ORDER_TYPE: Final = 387
ORDER_MESSAGE: Final = 399
SIZE_ZERO: Final = 434
NOT_CONNECTED: Final = 504
OUTDATED: Final = 503
LINK_LOST: Final = 1100
LINK_BACK_DATA_LOST: Final = 1101
LINK_BACK: Final = 1102
DATA_FARM_BROKEN: Final = 2103
DATA_FARM_OK: Final = 2104
HISTORY_FARM_BROKEN: Final = 2105
HISTORY_FARM_OK: Final = 2106
SECURITY_FARM_OK: Final = 2158
CANCEL_UNKNOWN: Final = 10147
CANCEL_TOO_LATE: Final = 10148
COMPETING_SESSION: Final = 10197
FRACTION: Final = 10243

SYSTEM_TEXTS: Final = {
    LINK_LOST: "Connectivity between IBKR and Trader Workstation has been lost.",
    LINK_BACK_DATA_LOST: "Connectivity between IBKR and Trader Workstation has been restored - data lost. "
    "Market and account data subscription requests must be resubmitted.",
    LINK_BACK: "Connectivity between IBKR and Trader Workstation has been restored - data maintained. "
    "All data farms are connected: usfarm; ushmds; secdefnj.",
    DATA_FARM_BROKEN: "Market data farm connection is broken:usfarm",
    DATA_FARM_OK: "Market data farm connection is OK:usfarm",
    HISTORY_FARM_BROKEN: "HMDS data farm connection is broken:ushmds",
    HISTORY_FARM_OK: "HMDS data farm connection is OK:ushmds",
    SECURITY_FARM_OK: "Sec-def data farm connection is OK:secdefnj",
}


def system(code: int) -> Problem:
    """Return a message about the connection or a data farm."""
    return Problem(req_id=SYSTEM, code=code, text=SYSTEM_TEXTS[code])


def no_such_contract(req_id: int) -> Problem:
    """Say that nothing fits a contract's description."""
    return Problem(req_id=req_id, code=NO_SUCH_CONTRACT, text="No security definition has been found for the request")


def ambiguous(req_id: int) -> Problem:
    """Say that more than one contract fits where one was needed."""
    text = "The contract description specified is ambiguous."
    return Problem(req_id=req_id, code=NO_SUCH_CONTRACT, text=text)


def invalid(req_id: int, cause: str) -> Problem:
    """Say that a request cannot be understood; `cause` names the part."""
    return Problem(req_id=req_id, code=VALIDATION_FAILED, text=f"Error validating request.-'sb' : cause - {cause}")


def not_connected(req_id: int) -> Problem:
    """Say that the gateway has no line to the vendor (or the client has not started)."""
    return Problem(req_id=req_id, code=NOT_CONNECTED, text="Not connected")


def rejected(order_id: int, reason: str) -> Problem:
    """Say that an order was refused for good."""
    return Problem(req_id=order_id, code=ORDER_REJECTED, text=f"Order rejected - reason:{reason}")


def cancelled(order_id: int, reason: str) -> Problem:
    """Say that an order is off the market."""
    return Problem(req_id=order_id, code=ORDER_CANCELLED, text=f"Order Canceled - reason:{reason}")

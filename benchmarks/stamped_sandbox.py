"""The sandbox, with a stamp at each moment that bench_quote_to_order.py measures between.

It is what `tbot sandbox` runs; a few of its functions are wrapped here, from outside.

Usage: python benchmarks/stamped_sandbox.py STAMPS the sandbox's own arguments ...
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from pathlib import Path

from benchmarks.stamps import BAR, EXECUTION, ORDER, Stamps, patch
from tbot_bot.core.instants import MINUTE, SECOND, Duration
from tbot_bot.sandbox import market
from tbot_bot.sandbox.alpaca_book import AlpacaBook
from tbot_bot.sandbox.alpaca_requests import Body
from tbot_bot.sandbox.alpaca_streams import Frame, Line
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.tickets import Order
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_orders import ExecutionDetails
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_replies import RealTimeBar
from tbot_bot.sandbox.tws_session import Session

TICK_SECONDS = 5
"""Coarser than the sandbox's own: what is measured is the bot, and a second's quotes of all symbols cost both sides."""


def serve(stamps: Stamps, words: Sequence[str]) -> int:
    """Serve as `tbot sandbox` does."""
    patch(market, "SandboxMarket", partial(market.SandboxMarket, tick=Duration(TICK_SECONDS * SECOND)))
    _stamp_alpaca(stamps)
    _stamp_ibkr(stamps)
    from tbot_bot.runtime.cli import main  # noqa: PLC0415 - after the wrapping

    return main(["sandbox", *words])


def _stamp_alpaca(stamps: Stamps) -> None:
    begin, place = Line.__init__, AlpacaBook.place

    @wraps(begin)
    def begun(
        self: Line, socket: object, exchange: Exchange, where: str, spell: Callable[[Frame], bytes | str]
    ) -> None:
        def spelled(frame: Frame) -> bytes | str:
            for name, what in _alpaca_news(frame):
                stamps.leave(what, name)
            return spell(frame)

        begin(self, socket, exchange, where, spelled)  # type: ignore[arg-type]  # passed on as it came

    @wraps(place)
    def placed(self: AlpacaBook, body: Body) -> Order:
        stamps.leave(ORDER, str(body.get("client_order_id", "")))
        return place(self, body)

    patch(Line, "__init__", begun)
    patch(AlpacaBook, "place", placed)


def _alpaca_news(frame: Frame) -> Iterable[tuple[str, str]]:
    if isinstance(frame, list):
        for one in frame:
            if one.get("T") == "b":
                yield str(one["S"]), BAR
        return
    data = frame.get("data")
    if isinstance(data, dict) and data.get("event") in {"fill", "partial_fill"}:
        order = data["order"]
        if isinstance(order, dict):
            yield str(order["client_order_id"]), EXECUTION


def _stamp_ibkr(stamps: Stamps) -> None:
    send, answer = Session.send, Session._answer  # noqa: SLF001 - the first to see a request that was read

    @wraps(send)
    def sent(self: Session, *messages: Message) -> None:
        for message in messages:
            if isinstance(message, RealTimeBar) and (message.start + TICK_SECONDS) * SECOND % MINUTE == 0:
                stamps.leave(BAR, str(message.req_id))
            elif isinstance(message, ExecutionDetails) and message.req_id < 0:
                stamps.leave(EXECUTION, message.order_ref)
        send(self, *messages)

    @wraps(answer)
    async def answered(self: Session, request: Message) -> None:
        if isinstance(request, PlaceOrder):
            stamps.leave(ORDER, request.order_ref)
        await answer(self, request)

    patch(Session, "send", sent)
    patch(Session, "_answer", answered)


if __name__ == "__main__" and len(sys.argv) > 1:  # `make bench` runs every file of this folder
    sys.exit(serve(Stamps(Path(sys.argv[1])), sys.argv[2:]))

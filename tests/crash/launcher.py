"""Runs the bot's runner as it is, but for points at which it may end itself with SIGKILL.

The points are wrapped around the runner's own functions from outside: the bot knows nothing of them. Where a point
says so in the orders below, the process is gone at once, as if the power had failed. `broken` builds are the tests
of the test: they do on purpose what the bot must never do.
"""

import asyncio
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from types import ModuleType

from ib_async import IB
from urllib3.connection import HTTPConnection

from tbot_bot.broker.alpaca_http import AlpacaHttp
from tbot_bot.broker.broker_alpaca import AlpacaBroker
from tbot_bot.broker.broker_ibkr import IbkrBroker
from tbot_bot.broker.ibkr_orders import OrderDesk
from tbot_bot.core.commands import Output
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.events import Event
from tbot_bot.journal.store import Journal
from tbot_bot.reporting import atomic
from tbot_bot.runtime import main as runner
from tbot_bot.runtime.hands import SessionHands
from tbot_bot.runtime.live_session import LiveSession
from tbot_bot.runtime.reconcile import BrokerReconciler
from tbot_bot.runtime.session_setup import Files
from tbot_bot.runtime.shell import SessionShell
from tests.crash.plan import Kill

LATE_INTENT = "intent-after-send"
RANDOM_IDS = "random-ids"
BLIND_RETRY = "blind-retry"
_BLIND_PAUSE_SECONDS = 0.7
"""Then a connection that was cut is there again."""
BROKEN = (LATE_INTENT, RANDOM_IDS, BLIND_RETRY)


@dataclass(slots=True)
class Trap:
    """Counts crossings and ends the process at the one that was chosen; what happens is left in `log`."""

    log: Path
    kill: Kill | None
    crossed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str) -> None:
        """Leave a line that survives this process."""
        line = json.dumps({"pid": os.getpid(), "what": what, "at": time.time_ns()}) + "\n"
        handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(handle, line.encode())
        os.close(handle)

    def cross(self, point: str) -> None:
        """Pass `point`, or die there."""
        with self.lock:
            self.crossed[point] += 1
            kill = self.kill
            if kill is not None and kill.point == point and self.crossed[point] == kill.crossing:
                self.note(f"killed {point}")
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)  # a signal to oneself may take a moment


def patch(owner: type | ModuleType, name: str, instead: object) -> None:
    """Put `instead` in the place of what the bot has under `name`."""
    setattr(owner, name, instead)


def leg_of(order_id: str) -> str:
    return order_id.rpartition("-")[2].rstrip("0123456789")


def set_traps(trap: Trap) -> None:
    """Wrap the runner's functions; modules that are not loaded yet are loaded here."""
    _around_the_journal(trap)
    _around_the_hands(trap)
    _around_alpaca(trap)
    _around_ibkr(trap)
    _around_the_records(trap)
    _around_the_recovery(trap)


def steps_of(entries):
    """Yield (step, leg) of what is about to be committed."""
    for entry in entries:
        told = json.loads(entry.payload)
        for output in told.get("outputs", ()):
            if output["_"] in {"SubmitOrder", "ReplaceOrder"}:
                yield "intent", leg_of(output["order"]["client_order_id"])
        if told.get("_") == "OrderFilled":
            yield "fill", leg_of(told["fill"]["client_order_id"])


def _around_the_journal(trap: Trap) -> None:

    append, take = Journal.append, SessionShell.take

    @wraps(append)
    def appended(self, entries):
        kept = list(entries)
        passed = list(steps_of(kept))
        for step, leg in passed:
            trap.cross(f"{step}.before {leg}")
        found = append(self, kept)
        for step, leg in passed:
            trap.cross(f"{step}.after {leg}")
        return found

    @wraps(take)
    async def taken(self, event):
        if type(event).__name__ == "OrderFilled":
            trap.cross(f"fill.told {leg_of(event.fill.client_order_id)}")
        return await take(self, event)

    patch(Journal, "append", appended)
    patch(SessionShell, "take", taken)


def _around_the_hands(trap: Trap) -> None:

    perform = SessionHands.perform

    @wraps(perform)
    async def performed(self, output):
        kind = type(output).__name__
        if kind not in {"SubmitOrder", "ReplaceOrder", "CancelOrder"}:
            return await perform(self, output)
        leg = "cancel" if kind == "CancelOrder" else leg_of(output.order.client_order_id)
        trap.cross(f"hands.before {leg}")
        found = await perform(self, output)
        trap.cross(f"hands.after {leg}")
        return found

    patch(SessionHands, "perform", performed)


def _around_alpaca(trap: Trap) -> None:

    made, getresponse, here = AlpacaHttp._made, HTTPConnection.getresponse, threading.local()

    def leg(call):
        if not call.path.startswith("/orders") or call.method == "GET":
            return ""
        return "cancel" if call.method == "DELETE" else leg_of(call.data["client_order_id"])

    @wraps(made)
    def sent(self, call, end):
        here.leg = leg(call)
        if not here.leg:
            return made(self, call, end)
        trap.cross(f"request.before {here.leg}")
        found = made(self, call, end)
        trap.cross(f"answer {here.leg}")
        return found

    @wraps(getresponse)
    def answered(self, *words, **named):
        if getattr(here, "leg", ""):
            trap.cross(f"request.after {here.leg}")
        return getresponse(self, *words, **named)

    patch(AlpacaHttp, "_made", sent)
    patch(HTTPConnection, "getresponse", answered)


def _around_ibkr(trap: Trap) -> None:

    place, cancel, changed = IB.placeOrder, IB.cancelOrder, OrderDesk.order_changed

    @wraps(place)
    def placed(self, contract, order):
        leg = leg_of(order.orderRef)
        trap.cross(f"request.before {leg}")
        found = place(self, contract, order)
        trap.cross(f"request.after {leg}")
        return found

    @wraps(cancel)
    def cancelled(self, *words, **named):
        trap.cross("request.before cancel")
        found = cancel(self, *words, **named)
        trap.cross("request.after cancel")
        return found

    @wraps(changed)
    def heard(self, trade):
        if trade.order.orderRef:
            trap.cross(f"answer {leg_of(trade.order.orderRef)}")
        return changed(self, trade)

    patch(IB, "placeOrder", placed)
    patch(IB, "cancelOrder", cancelled)
    patch(OrderDesk, "order_changed", heard)


def _around_the_records(trap: Trap) -> None:

    def crossing(before, function, after):
        @wraps(function)
        def crossed(*words, **named):
            trap.cross(before)
            found = function(*words, **named)
            trap.cross(after)
            return found

        return crossed

    patch(Files, "_feed", crossing("records.before", Files._feed, "records.after"))
    patch(SessionShell, "finish", crossing("end.before", SessionShell.finish, "end.after"))
    patch(atomic, "_write_synced", crossing("file.before", atomic._write_synced, "file.written"))
    patch(atomic, "_sync_folder", crossing("file.renamed", atomic._sync_folder, "file.after"))


def _around_the_recovery(trap: Trap) -> None:

    replay, resume, reconcile = SessionShell.replay, LiveSession.resume, BrokerReconciler.reconcile

    @wraps(replay)
    def replayed(self, *words, **named):
        trap.cross("recovery.before")
        found = replay(self, *words, **named)
        trap.cross("recovery.after")
        return found

    @wraps(resume)
    async def resumed(self):
        trap.note("resumed")
        return await resume(self)

    @wraps(reconcile)
    async def reconciled(self, name):
        trap.cross("reconcile.before")
        found = await reconcile(self, name)
        trap.cross("reconcile.after")
        if found:
            trap.note(f"reconciled {name}")
        return found

    patch(SessionShell, "replay", replayed)
    patch(LiveSession, "resume", resumed)
    patch(BrokerReconciler, "reconcile", reconciled)


# --- builds that are broken on purpose --------------------------------------------------------------------------------


def break_build(kind: str) -> None:
    """Make the runner do what it must never do."""
    {"": lambda: None, LATE_INTENT: _late_intent, RANDOM_IDS: _random_ids, BLIND_RETRY: _blind_retry}[kind]()


def _late_intent() -> None:
    """Send first, and record what was sent afterwards."""

    record, act = SessionShell._record, SessionShell._act

    def recorded(self, event, outputs):
        if not any(type(output).__name__ in {"SubmitOrder", "ReplaceOrder"} for output in outputs):
            return record(self, event, outputs)
        number = self._number
        late[id(outputs[-1])] = (event, outputs, number)
        return outputs

    async def acted(self, output):
        found = await act(self, output)
        if id(output) in late:
            event, outputs, number = late.pop(id(output))
            present, self._number = self._number, number
            record(self, event, outputs)
            self._number = present
        return found

    late: dict[int, tuple[Event, tuple[Output, ...], int]] = {}
    patch(SessionShell, "_record", recorded)
    patch(SessionShell, "_act", acted)


def _random_ids() -> None:
    """Send each order under an id of its own that nobody has written down."""

    def drawn(submit):
        @wraps(submit)
        async def submitted(self, order):
            leg = leg_of(order.client_order_id)
            return await submit(self, replace(order, client_order_id=f"{uuid.uuid4()}-{leg}1"))

        return submitted

    for broker in (AlpacaBroker, IbkrBroker):
        patch(broker, "submit", drawn(broker.submit))


def _blind_retry() -> None:
    """Take no answer for a no, and send the order anew without ever asking what is there."""
    submit = SessionHands._submit

    @wraps(submit)
    async def submitted(self, order):
        broker = self._router.broker(order.broker)
        sending = broker.submit

        async def sent(asked):
            try:
                return await sending(asked)
            except BrokerUnavailable:
                await asyncio.sleep(_BLIND_PAUSE_SECONDS)
                anew = f"{asked.client_order_id[:-1]}9"  # an id that was used is refused by Alpaca
                return await sending(replace(asked, client_order_id=anew))

        broker.submit = sent
        try:
            return await submit(self, order)
        finally:
            del broker.submit

    patch(SessionHands, "_submit", submitted)


def tell_stacks() -> None:
    """Have SIGUSR1 write to stderr where threads and tasks are: asked of a runner that does not end."""

    def told(*_):
        faulthandler.dump_traceback(all_threads=True)
        for task in asyncio.all_tasks(asyncio.get_running_loop()):
            task.print_stack()

    signal.signal(signal.SIGUSR1, told)


def launch(log: Path, kill: Kill | None, broken: str, argv: list[str]) -> int:
    """Run the runner to its end, or to the point where it is killed."""
    trap = Trap(log, kill)
    trap.note("started")
    tell_stacks()
    break_build(broken)
    set_traps(trap)
    status = runner.main(argv)
    trap.note(f"ended {status}")
    return status


def main() -> int:
    """Read the orders of one life from the first argument, and the runner's own arguments after it."""
    orders = json.loads(sys.argv[1])
    kill = Kill(**orders["kill"]) if orders["kill"] else None
    return launch(Path(orders["log"]), kill, orders["broken"], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

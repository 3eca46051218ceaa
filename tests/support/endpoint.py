"""A metrics endpoint without a bot, and how to ask it."""

import urllib.request
from dataclasses import replace
from decimal import Decimal

from prometheus_client.parser import text_string_to_metric_families as parse

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import later, seconds
from tbot_bot.core.orders import Direction
from tbot_bot.journal.store import Journal
from tbot_bot.reporting.report_router import records_for
from tbot_bot.reporting.status_builder import ProcessFacts, idle_status
from tbot_bot.reporting.status_logger import BotState, BrokerLink, OpenPosition, Realized, write_status
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.control import ControlFolder
from tbot_bot.runtime.metrics import MetricSources
from tbot_bot.runtime.metrics_server import MetricsServer
from tbot_bot.runtime.supervisor_facts import FactBook


def get(port, path="/metrics", **headers):
    """Return the text of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        return answer.read().decode()


def samples(text):
    """Return the samples of a scrape: (name, label values) -> figure."""
    return {(sample.name, *sample.labels.values()): sample.value for family in parse(text) for sample in family.samples}


class Endpoint:
    """A home folder with an endpoint and no bot."""

    def __init__(self, home):
        self.records = records_for(home, Mode.PAPER, test_mode=True)
        self.journal = Journal.open(self.records.journal, Mode.PAPER)
        self.book = FactBook()
        self.control = ControlFolder(home / "control")
        self.sources = MetricSources(
            home=home, control=self.control.folder, records=self.records, book=self.book, code="c0de"
        )
        self.complaints: list[str] = []
        self.server = MetricsServer.open(0, self.sources, self.complaints.append, patience=0.5)

    def scrape(self):
        return samples(get(self.server.port))

    def status(self, state=BotState.IDLE, age=0.0, **changes):
        at = later(wall_now(), -seconds(age))
        facts = ProcessFacts(version="1.0.0", pid=1, written_at=at, journal_sequence=1)
        idle = idle_status(facts, mode=Mode.PAPER, test_mode=True, state=state, reason="")
        write_status(self.records, replace(idle, **changes))

    def close(self):
        """Let port and journal go."""
        self.server.close()
        self.journal.close()


def rich():
    """Return what a status of a busy session says."""
    position = OpenPosition(
        trade_id="t1", broker="alpaca", symbol="SECRETSYMBOL", underlying="SECRETSYMBOL", side=Direction.LONG,
        quantity=Decimal(1), entry_price=Decimal(10), current_price=Decimal(9), unrealized_pnl=Decimal("-12.5"),
        stop_price=None,
    )  # fmt: skip
    return {
        "positions": (position, replace(position, trade_id="t2", current_price=None, unrealized_pnl=None)),
        "realized": (Realized(broker="ibkr", pnl=Decimal("40.25")),),
        "brokers": (
            BrokerLink(name="alpaca", connected=True, halted=False, latency_ms=250.0),
            BrokerLink(name="ibkr", connected=False, halted=True, latency_ms=None),
        ),
        "data_age_seconds": 12.0,
    }


__all__ = ["Endpoint", "get", "rich", "samples"]

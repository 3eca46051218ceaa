"""Alpaca's market data endpoints, driven by alpaca-py and judged by the vendor's OpenAPI document."""

from datetime import UTC, datetime, timedelta

import pytest
from requests import Response

from tbot_bot.core.instants import minutes
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.support.openapi_judge import judge_of
from tests.support.sandbox import SYMBOL, SandboxThread

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets")
BELL = datetime(2025, 9, 2, 13, 30, tzinfo=UTC)
KEY = "changeme"
OTHER = "SYN02"


@pytest.fixture(scope="module")
def sandbox():
    made = SandboxThread("alpaca", begin=minutes(40))
    yield made
    made.close()


class Client:
    """alpaca-py's data clients, with every answer kept for the judge."""

    def __init__(self, sandbox):
        from alpaca.data.historical import OptionHistoricalDataClient, StockHistoricalDataClient  # noqa: PLC0415

        self.answers: list[Response] = []
        self.stocks = StockHistoricalDataClient(KEY, KEY, url_override=sandbox.url("alpaca"))
        self.options = OptionHistoricalDataClient(KEY, KEY, url_override=sandbox.url("alpaca"))
        for api in (self.stocks, self.options):
            api._retry = 0
            api._session.hooks["response"].append(lambda response, **_: self.answers.append(response))

    def get(self, path, **query):
        return self.stocks.get(path, query)

    def close(self):
        self.stocks._session.close()
        self.options._session.close()


@pytest.fixture
def client(sandbox):
    made = Client(sandbox)
    yield made
    made.close()


def bars_of(client, *symbols, **words):
    from alpaca.data.requests import StockBarsRequest  # noqa: PLC0415
    from alpaca.data.timeframe import TimeFrame  # noqa: PLC0415

    asked = {"timeframe": TimeFrame.Minute, "start": BELL, **words}
    return client.stocks.get_stock_bars(StockBarsRequest(symbol_or_symbols=list(symbols), **asked)).data


def test_every_answer_fits_the_vendors_document(shared, sandbox, client):
    judge = judge_of(shared / "openapi" / "alpaca-market-data-api.json")
    put = sandbox.do(lambda: sandbox.exchange.market.puts(SYMBOL, sandbox.exchange.now()))[6].symbol
    both = f"{SYMBOL},{OTHER}"
    start = {"start": (BELL + timedelta(minutes=30)).isoformat()}
    for name in ("bars", "quotes", "trades"):
        frame = {"timeframe": "1Min"} if name == "bars" else {}
        client.get(f"/stocks/{name}", symbols=both, limit=7, **start, **frame)
        client.get(f"/stocks/{SYMBOL}/{name}", **start, **frame)
        client.get(f"/stocks/{name}/latest", symbols=both)
        client.get(f"/stocks/{SYMBOL}/{name}/latest")
    client.get("/stocks/bars", symbols=both, timeframe="1Day", start="2025-08-01")
    client.get("/stocks/snapshots", symbols=both)
    client.get(f"/stocks/{SYMBOL}/snapshot")
    client.options.get("/options/bars", {"symbols": put, "timeframe": "5Min"})
    client.options.get("/options/quotes/latest", {"symbols": put})
    client.options.get("/options/snapshots", {"symbols": put})
    client.options.get(f"/options/snapshots/{SYMBOL}", {"limit": 3})
    for answer in client.answers:
        path = answer.request.path_url.partition("?")[0]
        assert answer.status_code == 200, (path, answer.text)
        assert judge.misfits("GET", path, 200, answer.json()) == [], path
    assert len(client.answers) == 19


def test_bars_are_the_markets_own_and_nothing_of_the_future_is_shown(sandbox, client):
    found = bars_of(client, SYMBOL, OTHER)
    known = sandbox.do(lambda: sandbox.exchange.market.source.bars_until(SYMBOL, sandbox.exchange.now()))
    assert [bar.close for bar in found[SYMBOL]] == [bar.close for bar in known]
    assert len(found[OTHER]) == 40
    assert found[SYMBOL][-1].timestamp == BELL + timedelta(minutes=39)


def test_pages_are_put_together_by_the_client_without_loss(client, monkeypatch):
    whole = bars_of(client, SYMBOL, OTHER)
    parts, token = [], None
    while True:
        page = client.get("/stocks/bars", symbols=f"{SYMBOL},{OTHER}", timeframe="1Min", limit=33, page_token=token)
        parts += [(symbol, bar["t"]) for symbol, bars in page["bars"].items() for bar in bars]
        token = page["next_page_token"]
        if token is None:
            break
    assert len(parts) == 80
    assert parts == sorted(parts)
    assert len(whole[SYMBOL]) + len(whole[OTHER]) == 80


def test_bars_of_other_lengths_are_made_of_the_minutes(client):
    minute = bars_of(client, SYMBOL)[SYMBOL]
    joined = client.get("/stocks/bars", symbols=SYMBOL, timeframe="5Min")["bars"][SYMBOL]
    assert len(joined) == 8
    first = minute[:5]
    assert joined[0]["o"] == first[0].open
    assert joined[0]["h"] == max(bar.high for bar in first)
    assert joined[0]["l"] == min(bar.low for bar in first)
    assert joined[0]["v"] == sum(bar.volume for bar in first)
    days = client.get("/stocks/bars", symbols=SYMBOL, timeframe="1Day", start="2025-07-01")["bars"][SYMBOL]
    assert len(days) == 21
    assert days[-1]["v"] == sum(bar.volume for bar in minute)
    backward = client.get("/stocks/bars", symbols=SYMBOL, timeframe="1Min", sort="desc", limit=1)["bars"][SYMBOL]
    assert backward[0]["t"] == "2025-09-02T14:09:00Z"


def test_the_trades_of_a_minute_are_its_bar(client):
    from alpaca.data.requests import StockTradesRequest  # noqa: PLC0415

    start = BELL + timedelta(minutes=10)
    asked = StockTradesRequest(
        symbol_or_symbols=SYMBOL, start=start + timedelta(seconds=1), end=start + timedelta(minutes=1)
    )
    trades = client.stocks.get_stock_trades(asked).data[SYMBOL]
    (bar,) = bars_of(client, SYMBOL, start=start, end=start)[SYMBOL]
    assert sum(trade.size for trade in trades) == bar.volume
    assert trades[-1].price == bar.close
    assert len({trade.id for trade in trades}) == len(trades)


def test_snapshots_and_chains_are_read_by_the_client_library(client):
    from alpaca.data.requests import OptionChainRequest, StockSnapshotRequest  # noqa: PLC0415

    found = client.stocks.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=[SYMBOL, "NONE"]))
    assert list(found) == [SYMBOL]
    quote = found[SYMBOL].latest_quote
    assert quote.bid_price < quote.ask_price
    assert found[SYMBOL].previous_daily_bar.close > 0
    chain = client.options.get_option_chain(OptionChainRequest(underlying_symbol=SYMBOL))
    assert len(chain) == 52
    assert all(-1.0 <= put.greeks.delta <= 0.0 for put in chain.values())


def test_stale_quotes_show_in_the_snapshot_too(sandbox, client):
    sandbox.do(lambda: sandbox.exchange.faults.set((FaultRule(kind=FaultKind.STALE, seconds=600),), seed=1))
    stale = client.get(f"/stocks/{SYMBOL}/quotes/latest")["quote"]
    sandbox.do(lambda: sandbox.exchange.faults.set((), seed=1))
    assert stale["t"] == "2025-09-02T14:00:00Z"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stocks/bars?timeframe=1Min", 400),
        ("/stocks/bars?symbols=SYN01&timeframe=1Fortnight", 400),
        ("/stocks/bars?symbols=SYN01&page_token=x", 400),
        ("/stocks/NONE/quotes/latest", 400),
        ("/stocks/NONE/snapshot", 400),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(client, path, status):
    from alpaca.common.exceptions import APIError  # noqa: PLC0415

    with pytest.raises(APIError):
        client.get(path)
    assert client.answers[-1].status_code == status
    assert "message" in client.answers[-1].json()

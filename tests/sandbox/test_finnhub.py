"""Finnhub's endpoints, driven by finnhub-python and judged by the vendor's swagger document."""

import pytest

from tbot_bot.core.instants import minutes
from tbot_bot.sandbox.faults import FaultKind, FaultRule
from tests.support.openapi_judge import judge_of
from tests.support.sandbox import SYMBOL, SandboxThread


@pytest.fixture(scope="module")
def sandbox():
    made = SandboxThread("finnhub", begin=minutes(40))
    yield made
    made.close()


def client_of(sandbox, key="changeme"):
    import finnhub  # noqa: PLC0415 - heavy

    made = finnhub.Client(api_key=key)
    made.API_URL = sandbox.url("finnhub") + "/api/v1"
    return made


@pytest.fixture
def client(sandbox):
    made = client_of(sandbox)
    yield made
    made.close()


def refusal(call):
    from finnhub import FinnhubAPIException  # noqa: PLC0415

    with pytest.raises(FinnhubAPIException) as error:
        call()
    return error.value.status_code, error.value.message


def test_every_answer_fits_the_vendors_document(shared, client):
    judge = judge_of(shared / "openapi" / "finnhub-swagger.json")
    answers = {
        "/stock/symbol": client.stock_symbols("US"),
        "/stock/profile2": client.company_profile2(symbol=SYMBOL),
        "/stock/metric": client.company_basic_financials(SYMBOL, "all"),
        "/quote": client.quote(SYMBOL),
        "/stock/market-status": client.market_status("US"),
        "/search": client.symbol_lookup("SYN0"),
    }
    for path, body in answers.items():
        misfits = judge.misfits("GET", path, 200, body)
        # the vendor's own sample says null here as well, its schema does not
        assert [words for words in misfits if "holiday" not in words] == [], path
    assert answers["/search"]["count"] == 9


def test_a_screener_finds_what_it_asks_for(sandbox, client):
    listed = client.stock_symbols("US")
    assert {row["symbol"] for row in listed} == set(sandbox.exchange.market.symbols)
    facts = sandbox.exchange.market.source.fundamentals(SYMBOL)
    profile = client.company_profile2(symbol=SYMBOL)
    assert profile["marketCapitalization"] == float(facts.market_cap) / 1e6
    assert profile["finnhubIndustry"] == facts.sector
    metric = client.company_basic_financials(SYMBOL, "all")["metric"]
    assert metric["10DayAverageTradingVolume"] == pytest.approx(float(facts.average_volume) / 1e6)
    quote = client.quote(SYMBOL)
    assert quote["l"] <= quote["c"] <= quote["h"]
    assert quote["pc"] == sandbox.exchange.market.source.previous_close(SYMBOL)
    assert client.market_status("US")["isOpen"] is True


def test_an_unknown_symbol_gets_zeros_and_nothing(client):
    assert client.quote("NONE")["c"] == 0
    assert client.company_profile2(symbol="NONE") == {}
    assert client.company_basic_financials("NONE", "all")["metric"] == {}


def test_keys_and_plans_are_refused_in_the_vendors_words(sandbox, client):
    assert refusal(lambda: client.stock_candles(SYMBOL, "D", 1, 2)) == (403, "You don't have access to this resource.")
    wrong = client_of(sandbox, key="wrong")
    assert refusal(lambda: wrong.quote(SYMBOL)) == (401, "Invalid API key.")
    wrong.close()


def test_calls_beyond_the_limit_are_refused_until_the_next_minute():
    limited = SandboxThread("finnhub", limited=True)
    client = client_of(limited)
    for _ in range(60):
        client.quote(SYMBOL)
    status, words = refusal(lambda: client.quote(SYMBOL))
    assert (status, words) == (429, "API limit reached. Please try again later. Remaining Limit: 0")
    limited.wait(minutes(1))
    assert client.quote(SYMBOL)["c"] > 0
    client.close()
    limited.close()


def test_a_fault_strikes_finnhub_and_is_remembered(sandbox, client):
    rule = FaultRule(kind=FaultKind.STATUS, vendor="finnhub", place="GET */quote", status=502, times=1)
    sandbox.do(lambda: sandbox.exchange.faults.set((rule,), seed=1))
    assert refusal(lambda: client.quote(SYMBOL))[0] == 502
    assert client.quote(SYMBOL)["c"] > 0
    assert [struck.vendor for struck in sandbox.exchange.faults.struck] == ["finnhub"]

"""A data vendor that fails again and again is left alone; one that says no, or is busy, is not."""

import pytest
from pydantic import SecretStr

from tbot_bot.config.vendor_errors import VendorRefused, VendorUnavailable
from tbot_bot.core.backoff import Patience
from tbot_bot.core.circuit import FAILURES_MAX
from tbot_bot.core.instants import seconds
from tbot_bot.marketdata.finnhub import finnhub_vendor
from tbot_bot.marketdata.vendor_http import VendorHttp
from tests.support.vendor_stand_in import KEY, Free, Impatient, VendorStandIn

ONCE = Patience(retries=0, deadline=seconds(5))


async def asked(http, path, kind):
    with pytest.raises(kind) as told:
        await http.get(path, {"symbol": "AAA"})
    return str(told.value)


def asking(vendor):
    return VendorHttp(finnhub_vendor(vendor.url, SecretStr(KEY)), Free(), ONCE, Impatient())


def open_ones(http):
    return [one.endpoint for one in http.circuits() if one.open_seconds]


async def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_the_others_are_asked():
    def answer(path, _):
        return (503, {"error": "down"}) if path.startswith("/api/v1/quote/") else (200, {})

    with VendorStandIn(answer) as vendor:
        async with asking(vendor) as http:
            for number in range(FAILURES_MAX):
                assert not open_ones(http)
                await asked(http, f"/api/v1/quote/S{number}", VendorUnavailable)
            told = await asked(http, "/api/v1/quote/ANOTHER", VendorUnavailable)
            assert "not asked for 2 s after 5 failures" in told
            assert "HTTP 503" in told
            assert len(vendor.seen) == FAILURES_MAX
            assert open_ones(http) == ["finnhub GET /api/v1/quote"]
            assert await http.get("/api/v1/profile", {}) == {}


@pytest.mark.parametrize(("status", "kind"), [(404, VendorRefused), (429, VendorUnavailable)])
async def test_whoever_says_no_or_is_busy_has_answered(status, kind):
    with VendorStandIn(lambda *_: (status, {"error": "no"})) as vendor:
        async with asking(vendor) as http:
            for _ in range(2 * FAILURES_MAX):
                await asked(http, "/quote", kind)
            assert len(vendor.seen) == 2 * FAILURES_MAX
            assert not open_ones(http)


async def test_an_answer_closes_it_again():
    answers = [503] * (FAILURES_MAX - 1) + [200] + [503] * (FAILURES_MAX - 1) + [200]
    with VendorStandIn(lambda *_: (answers[len(vendor.seen) - 1], {})) as vendor:
        async with asking(vendor) as http:
            for status in answers:
                if status == 200:
                    await http.get("/quote", {})
                else:
                    await asked(http, "/quote", VendorUnavailable)
            assert not open_ones(http)

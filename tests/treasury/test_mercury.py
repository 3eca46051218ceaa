"""The bank's client against a bank on a real socket: deadlines, repetition, and a token that is never shown."""

import asyncio
import json
import logging
import socket
import threading
from datetime import date
from decimal import Decimal

import pytest
from werkzeug import Response

from tbot_bot.core.bank import TransferOrder
from tbot_bot.treasury.bank_errors import (
    BankNotUnderstood,
    BankRefused,
    BankUnavailable,
    TokenRefused,
    TransferRefused,
)
from tbot_bot.treasury.mercury import Mercury
from tests.support.bank_stand_in import TOKEN, StandIn

ORDER = TransferOrder(
    source_account="a", destination_account="b", amount=Decimal("1234.10"), note="tbot 1", idempotency_key="key-1"
)


@pytest.fixture
def bank():
    with StandIn({"a": "5000.25", "b": "0"}) as started:
        yield started


def client(url, *, token=TOKEN, deadline=5.0, tries=3):
    return Mercury(url, token, deadline_seconds=deadline, tries=tries, pause_seconds=0.01)


def ask(bank_client, call):
    async def asked():
        async with bank_client as connected:
            return await call(connected)

    return asyncio.run(asked())


def test_accounts_and_transactions_are_read_to_the_cent(bank):
    async def look(mercury):
        before = await mercury.account("a")
        sent = await mercury.transfer(ORDER)
        return before, sent, await mercury.accounts(), await mercury.transactions("a", date(2025, 1, 1))

    before, sent, accounts, transactions = ask(client(bank.url), look)
    assert (before.available, before.active) == (Decimal("5000.25"), True)
    assert {one.account_id: one.available for one in accounts} == {"a": Decimal("3766.15"), "b": Decimal("1234.1")}
    assert [(one.transaction_id, one.amount, one.counterparty_id, one.note) for one in transactions] == [
        (sent, Decimal("-1234.1"), "b", "tbot 1")
    ]


def test_the_same_key_moves_money_once(bank):
    async def twice(mercury):
        return await mercury.transfer(ORDER), await mercury.transfer(ORDER)

    first, second = ask(client(bank.url), twice)
    assert first == second
    assert bank.books.lines() == [("a", "b", "1234.10")]


def test_a_read_is_repeated_and_gives_up_in_the_end(bank):
    bank.reads_that_fail = 2
    assert ask(client(bank.url), lambda mercury: mercury.account("a")).account_id == "a"
    bank.reads_that_fail = 3
    with pytest.raises(BankUnavailable, match="503"):
        ask(client(bank.url), lambda mercury: mercury.account("a"))
    assert bank.seen == ["GET /account/a"] * 6


@pytest.mark.parametrize("how", ["drop", "lose", "error", "late"])
def test_a_transfer_is_sent_once_whatever_comes_of_it(bank, how):
    bank.script = [how]
    with pytest.raises(BankUnavailable):
        ask(client(bank.url), lambda mercury: mercury.transfer(ORDER))
    assert bank.seen == ["POST /transfer"]


def test_the_same_transfer_under_another_key_is_refused(bank):
    another = TransferOrder(
        source_account="a", destination_account="b", amount=ORDER.amount, note="x", idempotency_key="key-2"
    )

    async def both(mercury):
        await mercury.transfer(ORDER)
        await mercury.transfer(another)

    with pytest.raises(TransferRefused, match="24 hours"):
        ask(client(bank.url), both)


def test_an_unknown_account_and_an_unknown_token_are_clear_refusals(bank):
    with pytest.raises(BankRefused, match="404"):
        ask(client(bank.url), lambda mercury: mercury.account("nobody"))
    with pytest.raises(TokenRefused, match="MERCURY_API_TOKEN"):
        ask(client(bank.url, token="another-secret"), lambda mercury: mercury.accounts())
    assert bank.seen == ["GET /account/nobody", "GET /accounts"]


def test_the_token_is_in_no_error_no_log_and_no_name(bank, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "changeme-another-canary"  # the stand-in repeats what it was given
    mercury = client(bank.url, token=wrong)
    with pytest.raises(TokenRefused) as refused:
        ask(mercury, lambda connected: connected.accounts())
    with pytest.raises(BankUnavailable) as lost:
        ask(client("http://127.0.0.1:9/api/v1", token=wrong, tries=2), lambda connected: connected.accounts())
    shown = [repr(mercury), str(mercury), caplog.text]
    for caught in (refused.value, lost.value):
        shown += [str(caught), repr(caught), repr(caught.__cause__)]
    assert "********" in str(refused.value)
    assert not [text for text in shown if "canary" in text]


def trickle(listener, stop):
    """Answer one request with a header byte now and then, for ever."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                return


def test_the_deadline_holds_for_a_whole_request_however_it_trickles():
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener, stop))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with pytest.raises(BankUnavailable, match=r"no answer within 0\.3 s"):
                ask(client(url, deadline=0.3, tries=1), lambda mercury: mercury.accounts())
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    "body", ["", "nonsense", "[]", '{"accounts": 3}', '{"accounts": [{"id": "a", "availableBalance": "NaN"}]}']
)
def test_an_answer_of_another_form_is_as_good_as_none(httpserver, body):
    httpserver.expect_request("/accounts").respond_with_data(body, content_type="application/json")
    with pytest.raises(BankNotUnderstood):
        ask(client(httpserver.url_for("").rstrip("/")), lambda mercury: mercury.accounts())
    assert len(httpserver.log) == 1, "asking again would not help"


def test_many_transactions_are_read_page_by_page(httpserver):
    def page(request):
        first = int(request.args["offset"])
        items = [{"id": str(k), "amount": k, "note": f"n{k}"} for k in range(first, min(first + 500, 1203))]
        return Response(json.dumps({"transactions": items}), content_type="application/json")

    httpserver.expect_request("/account/a/transactions").respond_with_handler(page)
    url = httpserver.url_for("").rstrip("/")
    found = ask(client(url), lambda mercury: mercury.transactions("a", date(2025, 1, 1)))
    assert [one.note for one in found] == [f"n{k}" for k in range(1203)]

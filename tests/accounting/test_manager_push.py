"""Posting to a business: each document once, whatever fails on the way."""

import signal
import subprocess
import sys

import pytest

from tbot_bot.accounting.manager_exporter import bodies
from tbot_bot.accounting.manager_push import ManagerClient, PushFailed, push
from tbot_bot.accounting.units import dollars_of
from tests.support.ledger_kit import Days, Dice
from tests.support.manager_kit import totals_of_forms
from tests.support.manager_stand_in import KEY, ManagerStandIn


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    days = Days(tmp_path_factory.mktemp("books"))
    Dice(days, 3).run(12)
    days.book()
    days.close()
    with days.reader() as ledger:
        found = list(bodies(ledger))
        mine = {one.account.guid: dollars_of(one.amount) for one in ledger.balances() if one.amount}
    return days.config.ledger, found, mine


@pytest.fixture
def business():
    with ManagerStandIn() as made:
        yield made


def client_of(business, key=KEY, seconds=5.0, tries=3):
    return ManagerClient(business.url, key, deadline_seconds=seconds, tries=tries, pause_seconds=0.01)


def pushed(business, found, **how):
    with client_of(business, **how) as client:
        return push(client, found)


def holds_all_once(business, books):
    _, found, mine = books
    assert sorted(business.references()) == sorted(document.reference for document, _ in found)
    totals = totals_of_forms(business.forms())
    assert {account: amount for account, amount in totals.items() if amount} == mine


def test_every_document_is_posted_once_and_again_changes_nothing(business, books):
    done = pushed(business, books[1])
    assert (done.posted, done.there_before) == (len(books[1]), 0)
    holds_all_once(business, books)
    again = pushed(business, books[1])
    assert (again.posted, again.there_before) == (0, len(books[1]))
    holds_all_once(business, books)


def test_references_beyond_the_first_page_are_found(business, books):
    business.kept["receipts"] = [{"Reference": f"R{number}", "Lines": [], "ReceivedIn": "x"} for number in range(450)]
    pushed(business, books[1])
    assert pushed(business, books[1]).posted == 0


@pytest.mark.parametrize("script", [["lose"], ["late"], ["busy", "busy"], ["keep", "lose", "busy", "late"]])
def test_lost_and_late_answers_make_no_second_document(business, books, script):
    business.script = list(script)
    pushed(business, books[1])
    assert not business.script
    holds_all_once(business, books)


@pytest.mark.parametrize(("script", "says"), [("error", "HTTP 500"), ("drop", "no answer"), ("hang", "no answer")])
def test_a_document_that_was_not_taken_ends_the_push_with_its_name_and_the_next_goes_on(business, books, script, says):
    business.script = ["keep", script]
    with pytest.raises(PushFailed, match=says) as caught:
        pushed(business, books[1], seconds=0.5)
    assert books[1][1][0].reference in str(caught.value)
    assert len(business.references()) == 1  # a post that may have got through is not sent again
    pushed(business, books[1])
    holds_all_once(business, books)


def test_reads_are_repeated_and_given_up(business, books):
    business.reads_that_fail = 2
    pushed(business, books[1])
    holds_all_once(business, books)
    business.reads_that_fail = 3
    with pytest.raises(PushFailed, match="503"):
        pushed(business, books[1])


def test_a_wrong_key_is_one_error_that_does_not_tell_it(business, books):
    with pytest.raises(PushFailed, match="MANAGER_API_KEY") as caught:
        pushed(business, books[1], key="wrong-secret")
    assert "wrong-secret" not in str(caught.value)
    assert not business.references()


def test_a_business_that_tells_no_references_gets_nothing(business, books):
    business.kept["payments"] = [{"Reference": "mine"}]
    business.forget_references = True
    with pytest.raises(PushFailed, match="cannot be known"):
        pushed(business, books[1])
    assert business.references() == ["mine"]


def test_nobody_there_is_told_with_what_to_look_at(books):
    with ManagerStandIn() as gone:
        pass
    with pytest.raises(PushFailed, match="nobody listens") as caught:
        pushed(gone, books[1])
    assert "MANAGER_URL" in str(caught.value)


PUSH = """
import sys
from pathlib import Path
from tbot_bot.accounting.ledger_reader import open_ledger_reader
from tbot_bot.accounting.manager_exporter import bodies
from tbot_bot.accounting.manager_push import ManagerClient, push
with open_ledger_reader(Path(sys.argv[1])) as ledger:
    with ManagerClient(sys.argv[2], sys.argv[3], deadline_seconds=5, tries=2) as client:
        push(client, list(bodies(ledger)))
"""


@pytest.mark.parametrize("after", [1, 3, 7])
def test_killed_in_the_middle_and_repeated_nothing_is_there_twice(business, books, after):
    started: list[subprocess.Popen[bytes]] = []
    posts: list[int] = []

    def kill_it():
        posts.append(1)
        if len(posts) == after:
            started[0].kill()

    business.on_post = kill_it
    process = subprocess.Popen([sys.executable, "-c", PUSH, str(books[0]), business.url, KEY])
    started.append(process)
    assert process.wait(60) == -signal.SIGKILL
    assert after <= len(business.references()) < len(books[1])
    business.on_post = lambda: None
    pushed(business, books[1])
    holds_all_once(business, books)

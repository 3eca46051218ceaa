"""One key, several processes: together they ask no more than the vendor allows, and orders go first."""

import asyncio
import multiprocessing
import random
import time
from functools import partial

import pytest

from tbot_bot.config.error_handler import MachineError
from tbot_bot.core.instants import MILLISECOND, SECOND, Duration, Instant
from tbot_bot.core.token_bucket import Limit, TokenBucket
from tbot_bot.runtime.allowances import GrantBook, SharedTurns
from tests.support.vendor_stand_in import Impatient

LIMITS = (Limit(count=6, span=Duration(SECOND), for_orders=2), Limit(count=3, span=Duration(100 * MILLISECOND)))


def turns(book, waiting, *, credential="changeme"):
    return SharedTurns(book, "vendor", credential, LIMITS, now=lambda: Instant(waiting.now), waiting=waiting)


def test_the_file_answers_as_the_bucket_in_memory_does(tmp_path):
    dice, now = random.Random(4), 1_700_000_000 * SECOND
    bucket = TokenBucket(LIMITS)
    with GrantBook(tmp_path / "a.sqlite3") as one, GrantBook(tmp_path / "a.sqlite3") as two:
        for number in range(600):
            now += dice.randrange(0, 200) * MILLISECOND
            now -= 3600 * SECOND if number == 300 else 0  # the clock is set back
            urgent = dice.random() < 0.3
            if number % 97 == 0:
                one.rest("purse", Instant(now), Instant(now + SECOND // 2))
                bucket.rest(Instant(now), Instant(now + SECOND // 2))
            expected = bucket.take(Instant(now), urgent=urgent)
            clock = partial(Instant, now)
            assert dice.choice((one, two)).take("purse", LIMITS, clock, urgent=urgent) == expected


def test_different_keys_have_allowances_of_their_own_and_the_file_holds_no_key(tmp_path):
    path = tmp_path / "a.sqlite3"
    waiting = Impatient()

    async def ask(credential):
        with GrantBook(path) as book:
            for _ in range(3):
                await turns(book, waiting, credential=credential).take()

    asyncio.run(ask("changeme-first"))
    asyncio.run(ask("changeme-second"))
    assert waiting.slept == []
    asyncio.run(ask("changeme-first"))
    assert waiting.slept
    assert b"changeme" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_an_order_overtakes_data_that_waited_longer(tmp_path):
    waiting = Impatient()
    with GrantBook(tmp_path / "a.sqlite3") as book:
        line = turns(book, waiting)
        done: list[str] = []

        async def ask(name, urgent):
            await line.take(urgent=urgent)
            done.append(name)

        tasks = [asyncio.create_task(ask(f"data{number}", urgent=False)) for number in range(8)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(ask(f"order{number}", urgent=True)) for number in range(2)]
        await asyncio.gather(*tasks)
    data = [name for name in done if name.startswith("data")]
    assert data == [f"data{number}" for number in range(8)], "data is served in order of arrival"
    assert max(done.index("order0"), done.index("order1")) < done.index("data7")


def _ask_much(path, seconds, told):
    end = time.monotonic() + seconds
    with GrantBook(path) as book:
        granted = []
        while time.monotonic() < end:
            read: list[int] = []

            def clock(read=read):
                read.append(time.time_ns())
                return Instant(read[-1])

            if book.take("purse", LIMITS, clock, urgent=True) == 0:
                granted.append(read[-1])
        told.put(granted)


def test_two_processes_that_ask_without_pause_keep_to_one_limit(tmp_path):
    GrantBook(tmp_path / "a.sqlite3")
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    processes = [context.Process(target=_ask_much, args=(tmp_path / "a.sqlite3", 2.5, told)) for _ in range(2)]
    for process in processes:
        process.start()
    granted = sorted(at for _ in processes for at in told.get(timeout=30))
    for process in processes:
        process.join()
    assert len(granted) >= 12
    for limit in LIMITS:
        for first, last in zip(granted, granted[limit.count :], strict=False):
            assert last - first >= limit.span


def test_a_file_that_is_none_is_one_clear_error(tmp_path):
    (tmp_path / "a.sqlite3").write_bytes(b"no database at all, but long enough to look at" * 50)
    with pytest.raises(MachineError, match=r"a\.sqlite3: cannot be used: .*the file may be deleted"):
        GrantBook(tmp_path / "a.sqlite3")

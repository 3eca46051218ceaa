"""The outbox in the journal: nothing is lost, nothing is told twice without need, every end is on record."""

from dataclasses import replace
from pathlib import Path

import pytest

from tbot_bot.config.scrub import learn
from tbot_bot.core.commands import BrokerHalted, EngageKillSwitch, RaiseAlert, Severity
from tbot_bot.core.instants import DAY, HOUR, Instant, later
from tbot_bot.journal.alerts import AlertQueued, AlertTried, DayOver, Outcome
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.journal.verify import verify
from tbot_bot.reporting import outbox
from tbot_bot.reporting.alert_senders import ChannelFailed
from tbot_bot.runtime import messenger as messenger_module
from tbot_bot.runtime.clock import wall_now
from tbot_bot.trading.notifier_bot import Pace, Wishes
from tests.support.alert_room import AlertRoom, Box, deliver, opened


@pytest.fixture
def room(tmp_path: Path) -> AlertRoom:
    return AlertRoom(tmp_path)


async def test_a_fill_is_told_with_its_numbers_unless_the_owner_does_not_want_it(room: AlertRoom) -> None:
    room.decide(opened())
    box, silent = Box(), Box("silent")
    await deliver(room.messenger(box))
    assert box.subjects == ["[TradeBot paper] the bot has started", "[TradeBot paper] entered AAA at sim (open)"]
    assert "10 at 51.6 (trade 20251202-open-sim-AAA)" in box.letters[1].text

    other = AlertRoom(room.path.parent.parent / "other")
    other.decide(opened())
    await deliver(other.messenger(silent, wishes=Wishes(fills=False)))
    assert silent.subjects == ["[TradeBot paper] the bot has started"]


async def test_an_alert_and_the_command_beside_it_are_one_message(room: AlertRoom) -> None:
    room.decide(
        EngageKillSwitch(at=wall_now(), reason="loss"),
        RaiseAlert(severity=Severity.CRITICAL, title="the kill switch is engaged", text="loss"),
        BrokerHalted(at=wall_now(), broker="alpaca", code="daily_loss", reason="loss"),
        RaiseAlert(severity=Severity.CRITICAL, title="alpaca is halted", text="loss"),
    )
    box = Box()
    await deliver(room.messenger(box))
    assert box.subjects == [  # the loud ones first
        "[TradeBot paper] CRITICAL: the kill switch is engaged", "[TradeBot paper] CRITICAL: alpaca is halted",
        "[TradeBot paper] the bot has started",
    ]  # fmt: skip


async def test_a_thousand_happenings_are_one_message(room: AlertRoom) -> None:
    room.ask(*(f"number {number}" for number in range(1_000)))
    box = Box()
    await deliver(room.messenger(box))
    assert box.subjects == ["[TradeBot paper] WARNING: 1001 happenings"]


async def test_who_is_killed_before_the_queueing_loses_nothing(room: AlertRoom) -> None:
    room.ask("disk one", "disk two")
    gathering = room.messenger(Box(), pace=Pace())
    gathering.look()  # read, not queued: and gone
    assert room.rows() == []
    box = Box()
    await deliver(room.messenger(box))
    assert len(box.subjects) == 3


async def test_who_is_killed_before_the_sending_sends_after_the_restart_and_only_then(room: AlertRoom) -> None:
    room.ask("disk")
    room.messenger(Box()).look()
    box = Box()
    await deliver(room.messenger(box))
    assert len(box.subjects) == 2
    again = Box()
    await deliver(room.messenger(again))
    assert again.subjects == []
    assert verify(room.path).ok


async def test_who_is_killed_between_sending_and_noting_sends_the_same_id_once_more(room: AlertRoom) -> None:
    room.ask("disk")
    box = Box()
    dying = room.messenger(box)
    dying.look()
    assert await dying.send_next(box)
    taken = box.letters[-1].id
    lost = AlertRoom(room.path.parent.parent / "copy")  # the same rows, without the one that says done
    for row in room.rows():
        if isinstance(row, AlertQueued):
            lost.append([row])
    again = Box()
    await deliver(lost.messenger(again))
    assert [letter.id for letter in again.letters].count(taken) == 1


async def test_a_failed_attempt_is_tried_again_later_and_then_done(
    room: AlertRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box()
    box.problem = ChannelFailed("the line is down")
    messenger = room.messenger(box)
    await deliver(messenger)
    (row,) = [row for row in room.rows() if isinstance(row, AlertTried)]
    assert (row.outcome, row.attempt, row.detail) == (Outcome.FAILED, 1, "the line is down")
    assert row.due_at - row.at == outbox.WAITS[0]
    box.problem = None
    assert not await messenger.send_next(box)
    monkeypatch.setattr(messenger_module, "wall_now", lambda: later(row.due_at, 1))
    assert await messenger.send_next(box)
    assert messenger.outbox.waiting() == []


async def test_a_channel_that_says_no_three_times_is_given_up_and_the_others_hear_of_it(
    room: AlertRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing, sound = Box("mail"), Box("slack")
    refusing.problem = ChannelFailed("the mail server refuses the login: 535", refused=True)
    messenger = room.messenger(refusing, sound)
    now = wall_now()
    for hour in range(4):
        monkeypatch.setattr(messenger_module, "wall_now", lambda hour=hour: later(now, hour * HOUR))
        await deliver(messenger)
    dead = [row for row in room.rows() if isinstance(row, AlertTried) and row.outcome is Outcome.DEAD]
    assert [(row.channel, row.attempt) for row in dead] == [("mail", 3)]
    assert sound.subjects[-1] == "[TradeBot paper] WARNING: alerts do not reach mail"
    assert "535" in sound.letters[-1].text


async def test_what_a_person_wants_again_is_sent_again_by_the_running_messenger(
    room: AlertRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box()
    box.problem = ChannelFailed("no", refused=True)
    messenger = room.messenger(box)
    now = wall_now()
    for hour in range(3):
        monkeypatch.setattr(messenger_module, "wall_now", lambda hour=hour: later(now, hour * HOUR))
        await deliver(messenger)
    assert messenger.outbox.waiting() == []
    box.problem = None
    dead = [row for row in room.rows() if isinstance(row, AlertTried)][-1]
    room.append([replace(dead, outcome=Outcome.AGAIN, attempt=1, due_at=Instant(now))])
    await deliver(messenger)
    assert len(box.subjects) == 1


async def test_a_full_queue_gives_up_the_oldest_quiet_messages_and_keeps_the_critical_one(
    room: AlertRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WAITING_MAX", 5)
    now = wall_now()
    queued = [
        AlertQueued(at=now, id=f"m{number}", topic="error", severity="critical" if number == 0 else "info",
                    title=f"m{number}", text="", keys=(), until=1, channels=("box",))
        for number in range(12)
    ]  # fmt: skip
    room.append(queued)
    box = Box()
    box.problem = ChannelFailed("down")
    messenger = room.messenger(box)
    await messenger.send_next(box)
    waiting = [one.message.id for one in messenger.outbox.waiting()]
    assert waiting == ["m0", "m8", "m9", "m10", "m11"]
    given_up = [row for row in room.rows() if isinstance(row, AlertTried) and row.outcome is Outcome.DEAD]
    assert {row.detail for row in given_up} == {"given up: the queue of this channel is full"}
    assert len(given_up) == 7


async def test_news_of_more_than_a_day_ago_are_counted_not_told(room: AlertRoom) -> None:
    room.ask(*(f"old {number}" for number in range(30)), at=later(wall_now(), -2 * DAY))
    box = Box()
    await deliver(room.messenger(box))
    assert "[TradeBot paper] 30 happenings of more than a day ago were not told" in box.subjects
    assert not any("old 1" in letter.text for letter in box.letters)


async def test_a_day_that_is_over_is_told_with_its_page_and_a_later_process_does_not_tell_it_again(
    room: AlertRoom,
) -> None:
    room.append([DayOver(at=wall_now(), day="2025-12-02")])
    box = Box()
    await deliver(room.messenger(box))
    letter = box.letters[-1]
    assert letter.subject == "[TradeBot paper] 2025-12-02: +1.00 USD"
    assert (letter.text, letter.html, letter.images) == ("the day 2025-12-02", "<p>day</p>", {"equity": b"x"})
    again = Box()
    await deliver(room.messenger(again))
    assert again.letters == []


async def test_a_journal_that_takes_no_row_does_not_keep_a_message_from_going_out(
    room: AlertRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.ask("the disk is full")
    box = Box()
    messenger = room.messenger(box)

    def refuse(_: object) -> range:
        raise JournalWriteFailed("full", where="disk", mend="make room")

    with monkeypatch.context() as patched:
        patched.setattr(room.journal, "append", refuse)
        await deliver(messenger)
    assert len(box.subjects) == 2
    assert room.rows() == []
    messenger.look()  # there is room again
    assert [row.outcome for row in room.rows() if isinstance(row, AlertTried)] == [Outcome.DONE, Outcome.DONE]


async def test_no_message_holds_a_secret(room: AlertRoom) -> None:
    learn(["hunter2hunter2"])
    room.decide(RaiseAlert(severity=Severity.WARNING, title="hunter2hunter2 fails", text="key hunter2hunter2"))
    box = Box()
    await deliver(room.messenger(box))
    assert not any("hunter2" in letter.subject + letter.text for letter in box.letters)
    assert not any(
        "hunter2" in row.text + row.title + str(row.keys) for row in room.rows() if isinstance(row, AlertQueued)
    )

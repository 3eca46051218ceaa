"""How much a person is told at once: a few messages, one digest for many, nothing twice."""

from tbot_bot.core.commands import Severity
from tbot_bot.core.instants import Instant, minutes, seconds
from tbot_bot.trading.notifier_bot import Desk, Notice, Parcel, Topic, text_of, title_of

START = Instant(1_700_000_000_000_000_000)


def at(count: float) -> Instant:
    """Return the instant `count` seconds after the start."""
    return Instant(START + seconds(count))


def notice(number: int, severity: Severity = Severity.INFO, key: str = "") -> Notice:
    """Return a fill."""
    return Notice(
        at=START, seq=number, topic=Topic.FILL, severity=severity, key=key or f"fill:{number}",
        title=f"entered S{number}", text="10 at 51.60",
    )  # fmt: skip


def test_a_single_happening_is_a_message_of_its_own_after_two_quiet_seconds() -> None:
    desk = Desk()
    desk.add(notice(1), at(0))
    assert desk.take(at(1)) == ()
    (parcel,) = desk.take(at(2))
    assert title_of(parcel) == "entered S1"
    assert desk.take(at(3)) == ()


def test_a_thousand_happenings_at_once_are_one_digest_that_counts_them() -> None:
    desk = Desk()
    for number in range(1_000):
        desk.add(notice(number, Severity.CRITICAL if number == 700 else Severity.INFO), at(0))
    (parcel,) = desk.take(at(2))
    assert title_of(parcel) == "1000 happenings, 1 critical, first: entered S700"
    text = text_of(parcel, ["09:30"] * 1_000)
    assert "1000 fill" in text
    assert "! 09:30  entered S700" in text
    assert "and 960 more" in text
    assert len(text) < 5_000


def test_a_stream_that_never_pauses_is_told_every_ten_seconds() -> None:
    desk, told = Desk(), 0
    for second in range(60):
        desk.add(notice(second), at(second))
        told += len(desk.take(at(second)))
    assert told == 5


def test_the_same_again_is_not_told_within_half_an_hour_and_is_counted_in_the_next_digest() -> None:
    desk = Desk()
    assert desk.add(notice(1, key="halt:alpaca"), at(0))
    desk.take(at(2))
    assert not desk.add(notice(2, key="halt:alpaca"), at(60))
    assert desk.take(at(100)) == ()
    for number in range(10, 15):
        desk.add(notice(number), at(200))
    (parcel,) = desk.take(at(202))
    assert "1 repetitions of what was told before" in text_of(parcel, [""] * 5)
    assert desk.add(notice(3, key="halt:alpaca"), at(60 * 31))


def test_beyond_six_messages_in_ten_minutes_the_rest_waits_and_is_one_digest() -> None:
    desk = Desk()
    sent: list[Parcel] = []
    for number in range(20):
        desk.add(notice(number), at(10 * number))
        sent += desk.take(at(10 * number + 2))
    assert len(sent) == 6
    assert desk.waiting == 14
    (digest,) = desk.take(Instant(at(2) + minutes(10)))
    assert len(digest.notices) == 14


def test_what_is_critical_has_room_that_the_rest_cannot_take() -> None:
    desk = Desk()
    for number in range(6):
        desk.remember(at(number), ())
    desk.add(notice(1), at(10))
    assert desk.take(at(30)) == ()
    desk.add(notice(2, Severity.CRITICAL), at(40))
    parcels = desk.take(at(42))
    assert [len(parcel.notices) for parcel in parcels] == [1, 1]
    assert parcels[1].severity is Severity.CRITICAL


def test_what_an_earlier_process_told_is_remembered() -> None:
    desk = Desk()
    desk.remember(at(0), ["kill"])
    assert not desk.add(notice(1, key="kill"), at(60))

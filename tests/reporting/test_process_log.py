"""The processes' own logs: JSON lines, no secrets by name, rotated and thrown away in time."""

import json
import os

from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import DAY, SECOND, later
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import records_for
from tests.reporting.days import at


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_secrets_are_masked_by_name_at_any_depth(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    with process_log(records, "runner", lambda: at(0)) as log:
        log.info("connected", broker="alpaca", ALPACA_API_KEY="k1", inner={"password": "p1", "list": [{"token": "t1"}]})

    (line,) = lines(records.process_log("runner"))
    assert (line["timestamp"], line["process"], line["event"]) == ("2025-12-02T14:30:00Z", "runner", "connected")
    text = records.process_log("runner").read_text()
    assert not any(secret in text for secret in ("k1", "p1", "t1"))


def test_logs_turn_by_size_and_by_day_and_old_ones_go(tmp_path):
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    path = records.process_log("runner")
    clock = [at(0)]
    with process_log(records, "runner", lambda: clock[0], retention_days=7, bytes_max=300) as log:
        for number in range(10):
            log.info("tick", number=number)
            os.utime(path, ns=(clock[0], clock[0]))
        assert len(list(path.parent.iterdir())) > 1
        clock[0] = later(clock[0], DAY)
        log.info("next day")
        assert [line["event"] for line in lines(path)] == ["next day"]
        os.utime(path, ns=(clock[0], clock[0]))
        clock[0] = later(clock[0], 8 * DAY + SECOND)
        log.info("much later")
    kept = sorted(line["event"] for file in path.parent.iterdir() for line in lines(file))
    assert kept in (["much later"], ["much later", "next day"])

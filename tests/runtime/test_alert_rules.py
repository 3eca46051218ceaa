"""The alert rules for Prometheus: well formed, about metrics that exist, and saying what to do."""

import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tbot_bot.config.env_bot import BotSettings
from tbot_bot.runtime import metrics
from tbot_bot.runtime.clock import CompressedClock, wall_now
from tbot_bot.runtime.heartbeat import Beat
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tests.support.endpoint import Endpoint, rich

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "tbot.rules.yml"
RULE_LINES = re.compile(
    r"groups:|  - name: [a-z-]+|    rules:|      - alert: \w+|        (?:expr|for): [^\s].*"
    r"|        (?:labels|annotations):"
    r"|          severity: (?:critical|warning)|          (?:summary|action): \"[^\"\\]+\"|#.*|"
)
"""All that the file may consist of: a small part of YAML whose meaning is beyond doubt. promtool reads it whole."""


def rules():
    """Return each rule of the file: its fields by name."""
    found: list[dict[str, str]] = []
    for line in RULES.read_text(encoding="utf-8").split("\n"):
        assert RULE_LINES.fullmatch(line), line
        if line.startswith("      - alert: "):
            found.append({})
        if found and (field := re.fullmatch(r"\s+(?:- )?(\w+): (.+)", line)) and field[1] != "name":
            assert field[1] not in found[-1], line
            assert ": " not in field[2] or field[2].startswith('"'), line
            found[-1][field[1]] = field[2]
    return found


def metric_names(expression):
    """Return the metrics that a PromQL expression asks for."""
    bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"', " ", expression)
    bare = re.sub(r"\b(?:on|by|without|ignoring)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()", re.sub(r"\b\d[\w.]*", " ", bare))
    return set(words) - {"and", "or", "unless", "bool"}


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path)
    yield made
    made.close()


def exposed(endpoint):
    """Return the names of all samples that the bot can tell."""
    endpoint.status(**rich())
    plan = plan_day(schedule_rules(BotSettings()), date(2025, 9, 2))
    endpoint.book.day_begins(plan, CompressedClock.starting_at(plan.sessions[0].windows.screen_at, 1.0))
    endpoint.book.watchdog_fed()
    endpoint.book.logs_rotated()
    now = wall_now()
    beat = Beat(pid=1, session="", phase="", market_time=now, real_time=now, count=1, data_due=now)
    running = metrics.runner_families(beat, now, alive=1)
    return {key[0] for key in endpoint.scrape()} | {one.name for family in running for one in family.samples}


def test_each_metric_that_a_rule_asks_for_is_one_that_the_bot_tells(endpoint):
    outside = {"up"} | (
        {name for name in all_names() if name.startswith("process_")} if sys.platform != "linux" else set()
    )
    asked = all_names()
    assert len(asked) > 20
    assert asked - outside - exposed(endpoint) == set()


def all_names():
    return {name for rule in rules() for name in metric_names(rule["expr"])}


def test_the_finder_of_names_finds_names():
    assert metric_names('sum by (job) (a_b{c="d"}) > 1e9 and on (instance, job) rate(e_total[5m]) unless f == 0') == {
        "a_b",
        "e_total",
        "f",
    }


def test_each_rule_says_how_bad_it_is_and_what_to_do():
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 20
    assert [rule["alert"] for rule in rules() if not {"expr", "severity", "summary", "action"} <= set(rule)] == []
    assert [rule["alert"] for rule in rules() if not re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))] == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: package prometheus)")
@pytest.mark.parametrize("words", [("check", "rules", "tbot.rules.yml"), ("test", "rules", "tbot.rules.test.yml")])
def test_promtool_accepts_the_rules_and_their_own_tests(words):
    told = subprocess.run(["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr

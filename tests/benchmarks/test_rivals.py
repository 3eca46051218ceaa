"""What the comparison with other backtesters rests on: the loop by hand is our rule, and unequal trades are found."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_rivals
from benchmarks.bench_rivals import Line, agreement, environment
from benchmarks.rivals.hand_rules import run_by_hand, table_of
from benchmarks.rivals.own import FIRST, LAST, own_engine, own_setting, rules_of, table_of_trades
from benchmarks.rivals.plan import COLUMNS, LEFT, LEFT_AT, SIDE, Plan, Told, read_plan, write_plan
from benchmarks.tape_of_arrays import tape_of_arrays
from tbot_bot.core.identity import StrategyName

REPOSITORY = Path(__file__).resolve().parents[2]
RIVALS = REPOSITORY / "benchmarks" / "rivals"

# Without the compiler, so that it takes a second: the loops are plain Python then.
SAME_ENTRIES = """
from dataclasses import replace
import numpy as np
from benchmarks.rivals.hand_rules import run_by_hand
from benchmarks.rivals.own import own_engine, own_setting, rules_of
from benchmarks.rivals.plan import COLUMNS
from benchmarks.tape_of_arrays import tape_of_arrays
from tbot_bot.core.identity import StrategyName

arrays = tape_of_arrays(40, 12)
engine = own_engine(arrays)
columns = tuple(getattr(arrays, name).reshape(40, -1) for name in COLUMNS)


def entries(rule):
    rows = run_by_hand(rule, columns)[0]
    return rows[:, :, 0], np.where(rows[:, :, 0] < 0, 0, rows[:, :, 1])


BOTH = ((0, 0.95), (0, 1.05))
CASES = (  # settings, and which of a rule's numbers to move: on this tape days on both sides come near those numbers
    ({}, {"open": (), "mid": BOTH, "close": ()}),
    ({"STRAT_OPEN_BUFFER": "0.003"}, {"open": BOTH}),
    ({"CLOSE_FADE_Z": "1.5", "CLOSE_MOMENTUM_PCT": "0.008"}, {"close": ((0, 1.05), (1, 0.95), (1, 1.05))}),
    ({"CLOSE_FADE_Z": "1.5", "CLOSE_MOMENTUM_PCT": "0.012"}, {"close": ((0, 0.95),)}),
)
for more, tried in CASES:
    for rule in rules_of(engine, **more):
        if rule.name not in tried:
            continue
        name = StrategyName(rule.name)
        signals = engine.scan_of(own_setting(name, **more), name, engine.days)()
        row, side = entries(rule)
        here = signals - np.arange(40)[:, None] * columns[0].shape[1] + 1
        assert np.array_equal(np.where(signals >= 0, here, -1), row), (name, more)
        print(name, int((signals >= 0).sum()))
        for place, times in tried[rule.name]:
            numbers = tuple(value * (times if number == place else 1) for number, value in enumerate(rule.numbers))
            moved, turned = entries(replace(rule, numbers=numbers))
            other = moved != row
            print(name, place, times, *(int((other & ((side == s) | (turned == s))).sum()) for s in (1, -1)))
"""


def test_the_loop_by_hand_enters_where_our_rules_signal_and_a_threshold_moved_by_a_twentieth_would_show():
    command = [sys.executable, "-c", SAME_ENTRIES]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    counts = [(name, int(count)) for name, count in (line for line in told if len(line) == 2)]
    assert {name for name, _ in counts} == {"open", "mid", "close"}
    assert all(count > 20 for _, count in counts)
    moved = [line for line in told if len(line) > 2]
    thresholds = (("open", "0"), ("mid", "0"), ("close", "0"), ("close", "1"))  # momentum and fade are the last two
    assert sorted((name, place, times) for name, place, times, *_ in moved) == sorted(
        (*one, times) for one in thresholds for times in ("0.95", "1.05")
    )
    for name, place, times, *sides in moved:
        assert "0" not in sides, f"this tape would not tell {name} from a rule with number {place} times {times}"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(StrategyName))
def test_our_trades_are_the_loops_wherever_we_take_a_signal(name):
    arrays = tape_of_arrays(100, 20)
    engine = own_engine(arrays)
    columns = tuple(getattr(arrays, column).reshape(100, -1) for column in COLUMNS)
    [rule] = [rule for rule in rules_of(engine) if rule.name == name]
    by_hand = {(trade[0], trade[1]): trade for trade in table_of(*run_by_hand(rule, columns))}
    trades = table_of_trades(arrays, engine.run(own_setting(name), FIRST, LAST).trades)
    pairs = [(trade, by_hand[trade[0], trade[1]]) for trade in trades]
    assert len(pairs) > 20
    for ours, loop in pairs:
        assert np.array_equal(ours[: SIDE + 1], loop[: SIDE + 1])
    same = [a[LEFT] == b[LEFT] and abs(a[LEFT_AT] - b[LEFT_AT]) < bench_rivals.CENT for a, b in pairs]
    assert sum(same) >= 0.97 * len(pairs)  # the others are stops that lie on a cent, and are met a bar apart


def line_of(trades, worker="vectorbt"):
    told = Told(worker=worker, form="whole", rule="open", bars=1, wall=1.0, cpu=1.0, peak_mib=1.0)
    return Line(told=told, trades=np.array(trades, float))


LOOP = np.array([[0, 0, 25, 1, 55, 10.0, 10.5], [1, 0, 26, -1, 40, 20.0, 20.4]])


def test_equal_trades_are_counted():
    assert "all 2 signals" in agreement(line_of(LOOP), LOOP)
    assert "2 left" in agreement(line_of(LOOP), LOOP)


def test_a_rival_that_leaves_elsewhere_is_told():
    found = LOOP.copy()
    found[1, LEFT_AT] += 0.02
    assert "1 left" in agreement(line_of(found), LOOP)


@pytest.mark.parametrize("column", [2, 3])
def test_a_rival_that_enters_elsewhere_ends_the_benchmark(column):
    found = LOOP.copy()
    found[1, column] += 1
    with pytest.raises(SystemExit, match="not comparable"):
        agreement(line_of(found), LOOP)


def test_a_rival_that_misses_a_signal_ends_the_benchmark_while_we_may_choose():
    with pytest.raises(SystemExit, match="not comparable"):
        agreement(line_of(LOOP[:1]), LOOP)
    assert "1 of 2 signals" in agreement(line_of(LOOP[:1], worker="array"), LOOP)


def test_a_plan_comes_back_as_it_was_written(tmp_path):
    plan = Plan(symbols=2, days=3, seed=1, runs=5, rules=rules_of(own_engine(tape_of_arrays(2, 3))))
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize("module", ["plan", "hand_rules", "vectorbt_worker", "backtesting_worker"])
def test_what_runs_among_the_rivals_imports_nothing_of_ours(module):
    tree = ast.parse((RIVALS / f"{module}.py").read_text(encoding="utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    own = {name for name in names if name.split(".")[0] in {"benchmarks", "tbot_bot", "tests"}}
    assert own <= {"benchmarks.rivals.plan", "benchmarks.rivals.hand_rules"}


def test_the_rivals_are_pinned_to_exact_versions():
    lines = bench_rivals.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert {"vectorbt", "vectorbt-rust", "backtesting"} <= {line.split("==")[0] for line in pinned}
    assert all(line.count("==") == 1 for line in pinned)


@pytest.mark.slow
def test_without_a_registry_one_line_says_that_the_rivals_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert environment(tmp_path) is None
    assert capsys.readouterr().out.splitlines()[1:] == [
        "the rivals are left out: they could not be installed (CalledProcessError; is there a network?)"
    ]

"""What every error of the program tells."""

import copy
import pickle

import pytest

from tbot_bot.config import error_handler
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, NetworkError, TbotError

KINDS = [kind for kind in TbotError.__subclasses__() if kind.__module__ == error_handler.__name__]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TbotError("lost"), "lost"),
        (TbotError("lost", where="alpaca"), "alpaca: lost"),
        (TbotError("lost", mend="wait"), "lost. wait"),
        (TbotError("lost.", where="alpaca", mend="wait"), "alpaca: lost. wait"),
    ],
)
def test_a_message_says_where_what_and_how_to_mend(error, text):
    assert str(error) == text


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = [line.split("── ")[1].split()[0] for line in (error_handler.__doc__ or "").splitlines() if "── " in line]

    assert sorted(drawn) == sorted(kind.__name__ for kind in KINDS)


def test_each_kind_has_its_own_code():
    assert len({kind.code for kind in KINDS}) == len(KINDS)


def test_only_what_the_world_may_mend_by_itself_is_worth_retrying():
    assert {kind.__name__ for kind in KINDS if kind.retryable} == {"NetworkError", "DataError"}


@pytest.mark.parametrize(
    "error",
    [NetworkError("lost", where="x", mend="y"), ConfigError([ConfigProblem(file="f", line=1, expected="z")])],
)
def test_errors_travel_between_processes(error):
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_a_problem_is_one_line_whatever_the_value():
    text = str(ConfigProblem(file="f", line=2, variable="A", value="x\ny" * 100, expected="less", mend="cut"))

    assert "\n" not in text
    assert text.startswith("f:2: A='x\\ny")
    assert text.endswith("...': expected less; cut")

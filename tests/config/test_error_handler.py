"""What every error of the program tells."""

import asyncio
import copy
import csv
import errno
import gzip
import http.client
import importlib
import json
import pickle
import pkgutil
import re
import socket
import sqlite3
import ssl
import struct
import subprocess
import urllib.error
import zlib
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from decimal import InvalidOperation
from email.message import Message

import apsw
import httpx2
import pyarrow as pa
import pydantic
import pytest

import tbot_bot
from tbot_bot.config import error_handler
from tbot_bot.config.error_handler import (
    BrokerError,
    ConfigError,
    ConfigProblem,
    DataError,
    JournalError,
    LogicError,
    MachineError,
    NetworkError,
    Severity,
    TbotError,
)
from tbot_bot.config.error_table import TABLE, UNEXPECTED, classify
from tbot_bot.core import errors
from tbot_bot.core.calendar import NotATradingDay
from tbot_bot.core.codec import CodecError
from tbot_bot.journal.files import JournalWriteFailed
from tbot_bot.reporting.atomic import RecordsError
from tbot_bot.sandbox.alpaca_requests import AlpacaError
from tbot_bot.sandbox.tickets import Refused
from tbot_bot.sandbox.tws_frames import Malformed
from tbot_bot.sandbox.tws_tickets import Objection

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


def every_exception_of_ours():
    """Return every exception class that is defined in a module of ours."""
    for module in pkgutil.walk_packages(tbot_bot.__path__, "tbot_bot."):
        found = importlib.import_module(module.name)
        for kind in vars(found).values():
            if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.name:
                yield kind


def test_every_error_of_ours_has_code_severity_and_an_opinion_on_retries():
    seen = set()
    for kind in every_exception_of_ours():
        seen.add(kind.__name__)
        verdict = classify(kind.__new__(kind))
        assert verdict.code != UNEXPECTED or kind.__name__.startswith("_"), f"{kind} needs a row or a base of ours"
        assert re.fullmatch(r"[A-Z][A-Z_]*", verdict.code)
        assert isinstance(verdict.severity, Severity)
        if issubclass(kind, TbotError):
            assert (verdict.code, verdict.retryable, verdict.severity) == (kind.code, kind.retryable, kind.severity)
    assert {"BrokerUnavailable", "JournalWriteFailed", "RecordsError", "CodecError", "AlreadyRunning"} <= seen


def tls(cls=ssl.SSLError):
    return cls(1, "handshake")


def decoding():
    try:
        json.loads("{")
    except ValueError as error:
        return error
    raise AssertionError


def apsw_error():
    try:
        apsw.Connection(":memory:").execute("nonsense")
    except apsw.Error as error:
        return error
    raise AssertionError


def of_pydantic():
    try:
        pydantic.TypeAdapter(int).validate_python("x")
    except pydantic.ValidationError as error:
        return error
    raise AssertionError


ROWS = [
    # error, kind, code, retryable, severity
    (errors.BrokerUnavailable("x"), NetworkError, "NETWORK", True, "warning"),
    (errors.BrokerRefused("x"), BrokerError, "BROKER", False, "error"),
    (errors.BrokerProblem("x"), BrokerError, "BROKER", False, "error"),
    (errors.CredentialsRejected("x"), BrokerError, "CREDENTIALS", False, "critical"),
    (errors.UnknownMessage("x"), BrokerError, "UNKNOWN_MESSAGE", False, "critical"),
    (TimeoutError(), NetworkError, "NETWORK", True, "warning"),
    (ConnectionResetError("x"), NetworkError, "NETWORK", True, "warning"),
    (BrokenPipeError("x"), NetworkError, "NETWORK", True, "warning"),
    (socket.gaierror(-2, "x"), NetworkError, "NETWORK", True, "warning"),
    (socket.herror(1, "x"), NetworkError, "NETWORK", True, "warning"),
    (tls(), NetworkError, "NETWORK", True, "warning"),
    (tls(ssl.SSLEOFError), NetworkError, "NETWORK", True, "warning"),
    (tls(ssl.SSLCertVerificationError), NetworkError, "NETWORK", False, "error"),
    (asyncio.IncompleteReadError(b"", 4), NetworkError, "NETWORK", True, "warning"),
    (http.client.BadStatusLine("x"), NetworkError, "NETWORK", True, "warning"),
    (urllib.error.URLError("x"), NetworkError, "NETWORK", True, "warning"),
    (urllib.error.HTTPError("u", 404, "x", Message(), None), BrokerError, "BROKER", False, "error"),
    (httpx2.ConnectError("x"), NetworkError, "NETWORK", True, "warning"),
    (httpx2.ReadTimeout("x"), NetworkError, "NETWORK", True, "warning"),
    (OSError(errno.ENETUNREACH, "x"), NetworkError, "NETWORK", True, "warning"),
    (OSError(errno.EHOSTUNREACH, "x"), NetworkError, "NETWORK", True, "warning"),
    (OSError(errno.ENOSPC, "x"), MachineError, "MACHINE", False, "critical"),
    (OSError(errno.EROFS, "x"), MachineError, "MACHINE", False, "critical"),
    (OSError(errno.EIO, "x"), MachineError, "MACHINE", False, "critical"),
    (PermissionError(errno.EACCES, "x"), MachineError, "MACHINE", False, "error"),
    (FileNotFoundError(errno.ENOENT, "x"), MachineError, "MACHINE", False, "error"),
    (gzip.BadGzipFile("x"), MachineError, "MACHINE", False, "error"),
    (subprocess.TimeoutExpired("x", 1), MachineError, "MACHINE", False, "error"),
    (MemoryError(), MachineError, "MACHINE", False, "critical"),
    (ModuleNotFoundError("x"), MachineError, "MACHINE", False, "critical"),
    (BrokenProcessPool("x"), MachineError, "MACHINE", False, "critical"),
    (decoding(), DataError, "DATA", True, "warning"),
    (csv.Error("x"), DataError, "DATA", True, "warning"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), DataError, "DATA", True, "warning"),
    (zlib.error("x"), DataError, "DATA", True, "warning"),
    (struct.error("x"), DataError, "DATA", True, "warning"),
    (pa.ArrowInvalid("x"), DataError, "DATA", True, "warning"),
    (NotATradingDay(date(2025, 12, 25), "x"), DataError, "DATA", False, "error"),
    (of_pydantic(), ConfigError, "CONFIG", False, "critical"),
    (apsw_error(), JournalError, "JOURNAL", False, "critical"),
    (sqlite3.OperationalError("x"), JournalError, "JOURNAL", False, "critical"),
    (CodecError("x"), JournalError, "JOURNAL", False, "critical"),
    # ours
    (NetworkError("x"), NetworkError, "NETWORK", True, "warning"),
    (BrokerError("x"), BrokerError, "BROKER", False, "error"),
    (LogicError("x"), LogicError, "LOGIC", False, "critical"),
    (ConfigError([]), ConfigError, "CONFIG", False, "critical"),
    (DataError("x"), DataError, "DATA", True, "warning"),
    (JournalError("x"), JournalError, "JOURNAL", False, "critical"),
    (JournalWriteFailed("x"), JournalError, "JOURNAL_WRITE", False, "critical"),
    (MachineError("x"), MachineError, "MACHINE", False, "error"),
    (RecordsError("x"), TbotError, "RECORDS", True, "error"),
    # the sandbox's refusals of what its clients ask
    (AlpacaError.__new__(AlpacaError), BrokerError, "BROKER", False, "error"),
    (Refused.__new__(Refused), BrokerError, "BROKER", False, "error"),
    (Malformed("x"), BrokerError, "BROKER", False, "error"),
    (Objection.__new__(Objection), BrokerError, "BROKER", False, "error"),
    # nobody has thought of these: defects
    (KeyError("x"), LogicError, "UNEXPECTED", False, "critical"),
    (IndexError("x"), LogicError, "UNEXPECTED", False, "critical"),
    (TypeError("x"), LogicError, "UNEXPECTED", False, "critical"),
    (ValueError("x"), LogicError, "UNEXPECTED", False, "critical"),
    (AttributeError("x"), LogicError, "UNEXPECTED", False, "critical"),
    (ZeroDivisionError(), LogicError, "UNEXPECTED", False, "critical"),
    (InvalidOperation(), LogicError, "UNEXPECTED", False, "critical"),
    (RecursionError(), LogicError, "UNEXPECTED", False, "critical"),
    (AssertionError(), LogicError, "UNEXPECTED", False, "critical"),
    (RuntimeError("x"), LogicError, "UNEXPECTED", False, "critical"),
    # several at once: the gravest, and all must be worth a retry
    (ExceptionGroup("x", [TimeoutError(), BrokerError("x")]), BrokerError, "BROKER", False, "error"),
    (ExceptionGroup("x", [TimeoutError(), DataError("x")]), NetworkError, "NETWORK", True, "warning"),
    (ExceptionGroup("x", [TimeoutError(), KeyError("x")]), LogicError, "UNEXPECTED", False, "critical"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind", "code", "retryable", "severity"), ROWS, ids=[f"{type(row[0]).__name__}-{row[2]}" for row in ROWS]
)
def test_one_handler_judges_every_error(error, kind, code, retryable, severity):
    verdict = classify(error)

    assert (verdict.kind, verdict.code, verdict.retryable, verdict.severity.value) == (kind, code, retryable, severity)
    assert verdict.alerts is (severity in {"error", "critical"})
    assert verdict.stops is (severity == "critical")


def test_every_row_of_the_table_is_tried_where_its_library_is_here():
    tried = {f"{base.__module__}.{base.__qualname__}" for row in ROWS for base in type(row[0]).__mro__}
    not_installed = {"httpx.TransportError", "httpx.HTTPStatusError", "websockets.exceptions.WebSocketException"}

    assert set(TABLE) - tried == not_installed | {"httpx2.HTTPStatusError"}
    for name in set(TABLE) - not_installed:  # the names are spelt as the libraries spell them
        module, _, cls = name.rpartition(".")
        found = getattr(importlib.import_module(module), cls)
        assert f"{found.__module__}.{found.__qualname__}" == name


def test_severities_rise():
    assert [one.rank for one in (Severity.WARNING, Severity.ERROR, Severity.CRITICAL)] == [0, 1, 2]

"""The house rules that a machine can check, each proven by a sample that breaks it."""

import ast
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

import tbot_bot

REPOSITORY = Path(__file__).resolve().parent.parent
PRODUCT = ("tbot_bot", "tbot_web")
PURE_ROOMS = tuple(f"tbot_bot/{room}" for room in ("core", "strategy", "enhancements", "trading"))

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# Longer than the rule allows, and why. Key: path, or path::function. An entry that is no longer needed fails.
LONGER_MODULES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}

CLOCKS_AND_DICE = (
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "numpy.random",
    "os.urandom",
    "random",
    "secrets",
    "time",
    "uuid.uuid1",
    "uuid.uuid4",
)
ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv")
ANY = ("typing.Any", "typing_extensions.Any")

PICTOGRAPHS = re.compile("[\u231a\u231b\u23e9-\u23f3\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]")
# Written in pieces, since this file is read by its own rules.
MACHINE_PATHS = re.compile(r"(?<![\w./$}-])/(?:" + r"work|root|(?:home|Users)/[\w.-]+" + r")/")
REGISTRIES = re.compile(
    r"pypi\.(?:org|python)|python" + r"hosted\.org|registry\.npm|crates\.io|conda\.anaconda|"
    r"--(?:extra-)?index-url[ =]\S|--find-" + r"links[ =]\S|file:" + r"//",
)

Finder = Callable[[str], Iterable[int]]


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Return what each imported name stands for: `from datetime import datetime as D` gives D: datetime.datetime."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def full_name(node: ast.AST, imported: dict[str, str]) -> str | None:
    """Return the dotted name that an expression stands for, if it begins with an imported name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in imported:
        return None
    return ".".join([imported[node.id], *reversed(parts)])


def uses_of(banned: tuple[str, ...]) -> Finder:
    """Return a finder of every import and every use of `banned`, under whatever name."""

    def find(text: str) -> Iterator[int]:
        tree = ast.parse(text)
        imported = imported_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                found = [full_name(node, imported) or ""]
            if any(name == ban or name.startswith(f"{ban}.") for name in found for ban in banned):
                yield node.lineno  # type: ignore[attr-defined]  # every node that was found has a place

    return find


def prints(text: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno


def swallowed_errors(text: str) -> Iterator[int]:
    """Find `except:`, an `except Exception` that does nothing, and `suppress(Exception)`."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and (
            node.type is None or (_is_broad(node.type) and _is_idle(node.body))
        ):
            yield node.lineno
        if isinstance(node, ast.Call) and _is_suppress(node.func) and any(map(_is_broad, node.args)):
            yield node.lineno


def _is_suppress(node: ast.expr) -> bool:
    return ast.unparse(node).split(".")[-1] == "suppress"


def _is_broad(node: ast.expr) -> bool:
    members = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(isinstance(member, ast.Name) and member.id in {"Exception", "BaseException"} for member in members)


def _is_idle(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in body
    )


def long_module(text: str) -> Iterator[int]:
    lines = text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield lines


def long_functions(text: str) -> Iterator[int]:
    yield from (line for line, _ in functions_too_long(text))


def functions_too_long(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX:
            yield node.lineno, node.name


def lines_with(pattern: re.Pattern[str]) -> Finder:
    def find(text: str) -> Iterator[int]:
        return (number for number, line in enumerate(text.split("\n"), start=1) if pattern.search(line))

    return find


def within(path: str, folders: Iterable[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


def is_python(path: str) -> bool:
    return path.endswith(".py")


def in_product(path: str) -> bool:
    return is_python(path) and within(path, PRODUCT)


def in_pure_rooms(path: str) -> bool:
    return is_python(path) and within(path, PURE_ROOMS)


def may_not_print(path: str) -> bool:
    return is_python(path) and not path.startswith("tbot_bot/runtime/cli") and not within(path, ["tools", "benchmarks"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A house rule: where it holds, how an offence is found, and samples of both sides."""

    says: str
    holds_for: Callable[[str], bool]
    find: Finder
    bad: tuple[str, ...]
    good: tuple[str, ...]


RULES = (
    Rule(
        says="a module has at most 400 lines",
        holds_for=lambda path: in_product(path) and path not in LONGER_MODULES,
        find=long_module,
        bad=("x = 1\n" * 401,),
        good=("x = 1\n" * 400,),
    ),
    Rule(
        says="a function has at most 70 lines",
        holds_for=lambda path: in_product(path) and not any(key.startswith(f"{path}::") for key in LONGER_FUNCTIONS),
        find=long_functions,
        bad=("def f():\n" + "    x = 1\n" * 70, "class C:\n    async def f(self):\n" + "        x = 1\n" * 70),
        good=("def f():\n" + "    x = 1\n" * 69,),
    ),
    Rule(
        says="decisions read no clock and roll no dice",
        holds_for=in_pure_rooms,
        find=uses_of(CLOCKS_AND_DICE),
        bad=(
            "import datetime\ndatetime.datetime.now()",
            "from datetime import datetime as D\nD.now(tz=None)",
            "from datetime import datetime\nread = datetime.utcnow",
            "from datetime import date\ndate.today()",
            "import time\ntime.time()",
            "from time import time_ns",
            "def f():\n    from time import monotonic as m",
            "import random",
            "from random import Random",
            "from uuid import uuid4",
            "import uuid as u\nu.uuid4()",
            "import secrets",
            "import os\nos.urandom(8)",
            "import numpy as np\nnp.random.default_rng(1)",
        ),
        good=(
            "from datetime import datetime\ndatetime(2025, 9, 2)",
            "import uuid\nuuid.uuid5",
            "view.now\ntime = 1\ntime.time",
        ),
    ),
    Rule(
        says="decisions are fully typed: no Any",
        holds_for=in_pure_rooms,
        find=uses_of(ANY),
        bad=("from typing import Any", "import typing as t\nx: t.Any"),
        good=("from typing import Final\nAny = 1\nx = Any",),
    ),
    Rule(
        says="only the configuration reads the environment",
        holds_for=lambda path: in_product(path) and not within(path, ["tbot_bot/config"]),
        find=uses_of(ENVIRONMENT),
        bad=(
            "import os\nos.environ['A']",
            "import os as o\no.getenv('A')",
            "from os import environ",
            "from os import getenv as g",
        ),
        good=("import os\nos.replace('a', 'b')",),
    ),
    Rule(
        says="only the command line prints",
        holds_for=may_not_print,
        find=prints,
        bad=("print('x')", "def f():\n    print()"),
        good=("console.print('x')", "# print('x')"),
    ),
    Rule(
        says="no error is swallowed",
        holds_for=is_python,
        find=swallowed_errors,
        bad=(
            "try:\n    f()\nexcept:\n    g()",
            "try:\n    f()\nexcept Exception:\n    pass",
            "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    ...",
            "for x in y:\n    try:\n        f()\n    except Exception:\n        continue",
            "import contextlib\nwith contextlib.suppress(Exception):\n    f()",
        ),
        good=(
            "try:\n    f()\nexcept Exception:\n    report()\n    raise",
            "try:\n    f()\nexcept FileNotFoundError:\n    pass",
            "with suppress(ValueError):\n    f()",
        ),
    ),
    Rule(
        says="no emojis or pictographs",
        holds_for=lambda _: True,
        find=lines_with(PICTOGRAPHS),
        bad=("done \u2705", "\U0001f680", "a\n\u26a0\ufe0f", "\u2b50"),
        good=("a \u2192 b, \u2264, \u2500\u2502\u2514, caf\u00e9",),
    ),
    Rule(
        says="no path of one machine",
        holds_for=lambda _: True,
        find=lines_with(MACHINE_PATHS),
        bad=(
            "x = '" + "/work" + "/main'",
            "cd " + "/root" + "/x",
            "/home" + "/somebody/x",
            "(" + "/Users" + "/somebody/x)",
        ),
        good=("docs/work/plan.md", "ProtectHome=yes", "$TBOT_HOME/root/x", "/homepage/x/y"),
    ),
    Rule(
        says="no address of a package registry",
        holds_for=lambda _: True,
        find=lines_with(REGISTRIES),
        bad=(
            "https://" + "pypi" + ".org/x",
            "files.python" + "hosted.org",
            "--index-" + "url x",
            "--find-" + "links /x",
            "file:" + "//x",
        ),
        good=("uv pip compile --no-emit-index-url --no-header", "from PyPI"),
    ),
)


def house_files() -> Iterator[tuple[str, str]]:
    """Yield path and text of every text file that is tracked or about to be: new files count before their commit."""
    for path in sorted(_paths()):
        file = REPOSITORY / path
        if not file.is_file() or file.is_symlink():
            continue
        content = file.read_bytes()
        if b"\0" not in content:
            yield path, content.decode("utf-8")


def _paths() -> set[str]:
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout: nobody knows which files belong to the house")
    listing = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(listing, cwd=REPOSITORY, check=True, capture_output=True).stdout
    return {path for path in output.decode("utf-8").split("\0") if path}


FILES = pytest.fixture(scope="module", name="files")(lambda: list(house_files()))
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says.replace(" ", "-"))


@each_rule
def test_the_house_keeps(rule, files):
    assert [f"{path}:{line}" for path, text in files if rule.holds_for(path) for line in rule.find(text)] == []


@each_rule
def test_every_bad_sample_is_found(rule):
    assert [sample for sample in rule.bad if not list(rule.find(sample))] == []


@each_rule
def test_no_good_sample_is_accused(rule):
    assert [sample for sample in rule.good if list(rule.find(sample))] == []


@each_rule
def test_every_rule_has_files_to_read(rule, files):
    assert any(rule.holds_for(path) for path, _ in files)


def test_exceptions_are_needed_and_say_why(files):
    texts = dict(files)
    assert [path for path in LONGER_MODULES if not list(long_module(texts.get(path, "")))] == []
    long = {f"{path}::{name}" for path, text in files if in_product(path) for _, name in functions_too_long(text)}
    assert long == set(LONGER_FUNCTIONS)
    assert all([*LONGER_MODULES.values(), *LONGER_FUNCTIONS.values()])


def test_the_version_is_the_tag_at_the_head_of_version_md():
    head = (REPOSITORY / "VERSION.md").read_text(encoding="utf-8").split("\n")[0]
    assert head == f"# v{tbot_bot.__version__}"

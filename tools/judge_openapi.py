"""Lets schemathesis ask the sandbox's REST sides whatever the vendors' OpenAPI documents allow, and what they do not.

    python tools/judge_openapi.py ../shared/openapi            (or: make judge-openapi)

The folder holds the vendors' documents, which are not part of this project. schemathesis gets an environment of its
own, in a temporary folder that is removed. It fails on a crash (5xx) and on an answer that does not fit its schema;
what the documents say of fewer statuses than there are is no failure. Needs the package registry; takes minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = "schemathesis==4.32.5"
CHECKS: Final = "not_a_server_error,content_type_conformance,response_schema_conformance"
FREE: Final = ("--port-alpaca", "0", "--port-finnhub", "0", "--port-tws", "0", "--admin-port", "0", "--no-limits")
CLI: Final = "from tbot_bot.runtime.cli import main; raise SystemExit(main())"
STRANGE_KEYS: Final = frozenset({"extraDocs", "orders", "sampleCodeTemplate"})
"""Of Finnhub's document: they are no part of the format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One vendor's document, and what of it the sandbox serves."""

    file: str
    vendor: str
    served: str
    """Pattern of paths."""
    headers: tuple[str, ...]


ALPACA_KEYS: Final = ("APCA-API-KEY-ID: changeme", "APCA-API-SECRET-KEY: changeme")
DOCUMENTS: Final = (
    Judged(
        file="alpaca-trading-api.json",
        vendor="ALPACA_PAPER_URL",
        served=r"^/v2/(account|account/configurations|account/activities(/\{[a-z_]+\})?|assets(/\{[a-z_]+\})?|clock|calendar"
        r"|orders(/\{order_id\})?|orders:by_client_order_id|positions(/\{[a-z_]+\})?|options/contracts(/\{[a-z_]+\})?)$",
        headers=ALPACA_KEYS,
    ),
    Judged(
        file="alpaca-market-data-api.json",
        vendor="ALPACA_DATA_URL",
        served=r"^/v2/stocks/(snapshots|\{symbol\}/snapshot|(\{symbol\}/)?(bars|quotes|trades)(/latest)?)$"
        r"|^/v1beta1/options/(bars|quotes/latest|snapshots(/\{[a-z_]+\})?)$",
        headers=ALPACA_KEYS,
    ),
    Judged(
        file="finnhub-swagger.json",
        vendor="FINNHUB_URL",
        served=r"^/(stock/symbol|stock/profile2|stock/metric|stock/market-status|quote|search)$",
        headers=("X-Finnhub-Token: changeme",),
    ),
)


def environment(folder: Path) -> Path:
    """Make an environment with schemathesis in `folder` and return its command.

    Raises:
        subprocess.CalledProcessError: the package cannot be had.
    """
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", PACKAGE]
    subprocess.run(pip, check=True)  # noqa: S603 - our own interpreter
    return folder / "bin" / "schemathesis"


def mended(text: str) -> str:
    """Return a vendor's document without what is no part of the format, and read as the vendors mean it.

    Every trade of Alpaca's fits two of its `oneOf`, so alternatives may overlap. Finnhub answers null for what it does
    not know (the change of an unknown symbol, no holiday), which its document, of an older format, cannot say.
    """

    def walk(node: object) -> object:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        made = {name: walk(item) for name, item in node.items() if name not in STRANGE_KEYS}
        if isinstance(made.get("oneOf"), list):
            made["anyOf"] = made.pop("oneOf")
        return made

    document = json.loads(text)
    for model in document.get("definitions", {}).values():
        for part in model.get("properties", {}).values():
            part["x-nullable"] = True
    return json.dumps(walk(document))


def judge(command: Path, document: Path, judged: Judged, url: str, examples: int) -> int:
    """Run schemathesis and return its exit status."""
    words = [
        str(command),
        "run",
        str(document),
        "--url",
        url,
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
    ]
    words += ["--include-path-regex", judged.served, "--max-examples", str(examples), "--generation-deterministic"]
    words += ["--no-color", "--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all"]
    words += ["--request-timeout", "10"]
    for header in judged.headers:
        words += ["--header", header]
    return subprocess.run(words, check=False).returncode  # noqa: S603 - a command of our own environment


def announced(server: "subprocess.Popen[str]") -> dict[str, str]:
    """Return the settings that lead to a sandbox that has just been started."""
    text = ""
    for line in server.stdout or ():
        text += line
        if line == "}\n":
            break
    told: dict[str, str] = json.loads(text)["settings"]
    return told


def main() -> int:
    """Judge every document and return the exit status: 0 where everything fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="folder of the vendors' OpenAPI documents")
    parser.add_argument("--examples", type=int, default=40, help="requests made up for each operation; 40")
    parser.add_argument("--command", type=Path, help="a schemathesis that is installed already")
    given = parser.parse_args()
    missing = [one.file for one in DOCUMENTS if not (given.documents / one.file).is_file()]
    if missing:
        print(f"judge-openapi: {given.documents} lacks {', '.join(missing)}", file=sys.stderr)
        return 1
    failed = []
    words = [sys.executable, "-c", CLI, "sandbox", "--json", *FREE, "--speed", "hand", "--begin", "10:00"]
    with tempfile.TemporaryDirectory(prefix="judge-openapi-") as name:
        folder = Path(name)
        command = given.command or environment(folder / "env")
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own command line
            settings = announced(server)
            for one in DOCUMENTS:
                document = folder / one.file
                document.write_text(mended((given.documents / one.file).read_text(encoding="utf-8")), encoding="utf-8")
                if judge(command, document, one, settings[one.vendor], given.examples):
                    failed.append(one.file)
            server.terminate()
    print(f"does not fit: {', '.join(failed)}" if failed else "every answer fits the vendors' documents")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

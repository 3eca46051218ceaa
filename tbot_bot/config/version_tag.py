"""The tag at the head of VERSION.md: what the owner has to have read before anything is traded."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tbot_bot.config.checks import Objection
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.envfile import read_bytes
from tbot_bot.config.error_handler import ConfigProblem

VERSION_FILE: Final = "VERSION.md"
_TAG: Final = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")


def version_objections(home: Path, bot: BotSettings) -> Iterator[Objection]:
    """Object to a tag that is not the one at the head of VERSION.md; no file, no objection."""
    path = home / VERSION_FILE
    if not os.path.lexists(path):
        return
    data = read_bytes(path, VERSION_FILE)
    if isinstance(data, ConfigProblem):
        expected, mend = f"{VERSION_FILE} to be {data.expected}", data.mend or f"restore {VERSION_FILE}"
    else:
        head = next((line for line in data.decode("utf-8", "replace").splitlines() if line.strip()), "")
        tag = _TAG.search(head)
        if tag is not None and tag[0] == bot.version_tag:
            return
        if tag is None:
            expected, mend = f"a tag such as v1.0.0 at the head of {VERSION_FILE}", f"restore {VERSION_FILE}"
        else:
            expected, mend = (
                f"{tag[0]}, the tag at the head of {VERSION_FILE}",
                "read what changed, then write that tag",
            )
    yield Objection(variables=("VERSION_TAG",), expected=expected, mend=mend)

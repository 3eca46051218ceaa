"""A session runner whose engine is broken as the file named by POISON says: it raises on every bar, or is deaf."""

import os
import sys
from pathlib import Path

from tbot_bot.core.events import BarsClosed, ControlReceived
from tbot_bot.runtime.main import main
from tbot_bot.trading.engine import Engine

POISON = Path(os.environ["POISON"]).read_text(encoding="utf-8")
_handle = Engine.handle


def _poisoned(self, event):
    if POISON == "raises" and isinstance(event, BarsClosed):
        raise RuntimeError("poisoned")
    if POISON == "deaf" and isinstance(event, ControlReceived):
        return []
    return _handle(self, event)


setattr(Engine, "handle", _poisoned)  # noqa: B010 - mypy refuses the plain form

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))

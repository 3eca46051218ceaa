"""Machine code kept between processes, under a digest of every source that it was made of.

numba alone would look at the file of the outermost function only, and run old code after an edit of a step.
"""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Final

_SOURCES: Final = (
    ("tbot_bot.backtest", "kernels.py"),
    ("tbot_bot.backtest", "row_kernels.py"),
    ("tbot_bot.core", "instants.py"),
    ("tbot_bot.screeners", "recorded_screener.py"),
    ("tbot_bot.strategy", "exits.py"),
    ("tbot_bot.strategy", "indicators.py"),
    ("tbot_bot.strategy", "strategy_close.py"),
    ("tbot_bot.strategy", "strategy_meta.py"),
    ("tbot_bot.strategy", "strategy_mid.py"),
    ("tbot_bot.strategy", "strategy_open.py"),
)


def keep_compiled(cache: Path) -> None:
    """Keep what is compiled from here on under `cache`; before `kernels` is imported."""
    import numba  # noqa: PLC0415 - heavy

    digest = hashlib.sha256(numba.__version__.encode())
    for package, name in _SOURCES:
        digest.update(resources.files(package).joinpath(name).read_bytes())
    folder = cache / f"kernels-{digest.hexdigest()[:24]}"
    folder.mkdir(parents=True, exist_ok=True)
    setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010 - numba does not declare it


__all__ = ["keep_compiled"]

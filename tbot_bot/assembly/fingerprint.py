"""What code and what settings decide: hashes that are journaled at each start and compared between processes."""

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Final

DECIDING_ROOMS: Final = ("core", "strategy", "enhancements", "trading")
"""Everything that makes decisions is in these; a change elsewhere cannot change one."""


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Return SHA-256 (hex) over the sources of the deciding rooms, in order of their names."""
    digest = hashlib.sha256()
    for room in DECIDING_ROOMS:
        folder = resources.files(f"tbot_bot.{room}")
        for source in sorted(folder.iterdir(), key=lambda item: item.name):
            if source.name.endswith(".py"):
                digest.update(f"{room}/{source.name}\n".encode())
                digest.update(source.read_bytes())
    return digest.hexdigest()


def room_digest(room: str) -> str:
    """Return SHA-256 (hex) over the sources of one room, as the manifest of a backtest has it."""
    digest = hashlib.sha256()
    for source in sorted(resources.files(f"tbot_bot.{room}").iterdir(), key=lambda item: item.name):
        if source.name.endswith(".py"):
            digest.update(f"{source.name}\n".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


def settings_fingerprint(lines: list[str]) -> str:
    """Return SHA-256 (hex) of the settings in force, given in their stable text form with secrets masked."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

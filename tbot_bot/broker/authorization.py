"""The permit without which no live broker client can be built."""

from dataclasses import dataclass
from typing import final

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.identity import Mode


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAuthorization:
    """Proof that the configuration is not a rehearsal; live clients demand one in their constructor.

    Raises:
        LogicError: asked for in test mode or in any mode but live; a caller that gets here is a defect.
    """

    test_mode: bool
    mode: Mode

    def __post_init__(self) -> None:
        if self.test_mode is not False:
            raise LogicError("a live authorization was asked for in test mode", where="broker")
        if self.mode is not Mode.LIVE:
            raise LogicError(f"a live authorization was asked for in mode {self.mode!s}", where="broker")

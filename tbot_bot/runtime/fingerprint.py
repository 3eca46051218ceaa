"""The fingerprints of code and settings; they stand in `assembly`, where specifications are made."""

from tbot_bot.assembly.fingerprint import DECIDING_ROOMS, code_fingerprint, settings_fingerprint

__all__ = ["DECIDING_ROOMS", "code_fingerprint", "settings_fingerprint"]

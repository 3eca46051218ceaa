"""Small files that other processes read at any moment; the writing itself is the settings' own."""

from tbot_bot.config.files import sync_folder, write_atomically

__all__ = ["sync_folder", "write_atomically"]

"""Screeners: which symbols a session looks at, with a verdict on every one."""

"""Processes: supervisor, session runner, start, stop, service, CLI. The top floor: it may import every room."""

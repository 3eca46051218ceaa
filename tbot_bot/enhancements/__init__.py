"""Filters: pure functions of numbers and limits that allow or block a signal, with the reason. None creates one."""

"""Backtests: recorded days through the very engine and venue that trade, step by step or as compiled arrays."""

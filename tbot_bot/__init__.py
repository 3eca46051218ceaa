"""TradeBot: a daemon that trades three sessions a day, on one path from event to order.

The rooms below this package, and who may import whom, are stated in `pyproject.toml` (import-linter).
"""

__version__ = "1.0.0"  # hatchling reads this line with a regular expression: no annotation

"""The embedded market, as the daemon's processes know it; it stands in `assembly`, for backtests too."""

from tbot_bot.assembly.embedded_market import EmbeddedMarket, ModelledPuts, Step, volatility_at

__all__ = ["EmbeddedMarket", "ModelledPuts", "Step", "volatility_at"]

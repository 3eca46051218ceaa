"""Where prices come from: recorded files and a seeded synthetic market behind one protocol, `feed.MarketDay`."""

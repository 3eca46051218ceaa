"""What a day's sessions are made of: plan, specification, screener, embedded market and venues. Nothing runs here."""

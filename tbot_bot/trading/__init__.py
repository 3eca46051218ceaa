"""The engine: sessions, sizing and risk, orders, positions. Pure: time comes in events, nothing is read."""

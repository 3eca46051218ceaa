"""The append-only event store: what was seen, decided and done, in order, and the proof that nobody changed it.

`store` writes and reads the SQLite file, `chain` holds the hashes and verifies them, `tape` keeps the
market's bars beside it, `session_log` merges both into one session as the engine saw it.
"""

"""The crash proof of exactly-once: seeded runs of the real runner against the sandbox, killed at every step."""

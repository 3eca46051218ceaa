"""The domain's nouns: instruments, bars, orders, positions, money, time, events, commands, protocols.

Nothing here reads a clock, a file, a socket or a random source. Every other room may import this one.
"""

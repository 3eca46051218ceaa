"""What the owner chose: typed settings from `.env` and `.env_bot`, and the program's errors.

The only room that reads the process environment. Everyone else receives a `Settings` object.
"""

"""The bank: what was read of the floats, authorized transfers, and the client that carries them out."""

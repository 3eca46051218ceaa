"""The double-entry ledger: what the journal's fills, fees and transfers come to, to the last unit.

`account_transaction` knows how each thing is booked, `lots` who is sold first, `booking` walks the journal,
`ledger_store` keeps the entries in an append-only file, `verify` computes all of it again, `exporters` writes it
in the form of other programs. Nothing here reads a file for people.
"""

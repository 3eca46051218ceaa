"""Files for people: projections of the journal, rebuilt from its rows at any time, never read by a decision.

`report_router` names the files and guards the live ones, `atomic` writes them, `story` folds a session's
rows, the other modules turn stories into lines, tables and figures, and `projector` drives them all.
"""

-- The ledger's tables. Amounts are integers of a nano-dollar, quantities of a nano-share; a debit is positive.
-- Nothing that stands here is ever changed: triggers refuse it, and what was wrong is taken back by an entry.
-- The chart of accounts at the end mirrors `ledger_schema.py`.
CREATE TABLE about (mode TEXT NOT NULL CHECK (mode IN ('live', 'paper')), unit TEXT NOT NULL) STRICT;
CREATE TABLE chart (
    role  TEXT PRIMARY KEY,
    kind  TEXT NOT NULL CHECK (kind IN ('asset', 'income', 'expense', 'equity')),
    live  TEXT NOT NULL,
    paper TEXT NOT NULL,
    title TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
    guid   TEXT PRIMARY KEY,
    role   TEXT NOT NULL REFERENCES chart (role),
    kind   TEXT NOT NULL,
    broker TEXT NOT NULL,
    name   TEXT NOT NULL UNIQUE,
    title  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
    number        INTEGER PRIMARY KEY CHECK (number > 0),
    guid          TEXT NOT NULL UNIQUE,
    at            INTEGER NOT NULL,
    day           TEXT NOT NULL,
    template      TEXT NOT NULL,
    source        TEXT NOT NULL,
    broker        TEXT NOT NULL,
    trade_id      TEXT NOT NULL,
    confirmation  TEXT NOT NULL,
    strategy      TEXT NOT NULL,
    session       TEXT NOT NULL,
    journal_seq   INTEGER NOT NULL,
    reverses      TEXT NOT NULL,
    text          TEXT NOT NULL,
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    hash          BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX entries_by_day ON entries (day, number);
CREATE INDEX entries_by_template ON entries (template, number);
CREATE TABLE lines (
    entry      INTEGER NOT NULL REFERENCES entries (number),
    number     INTEGER NOT NULL CHECK (number > 0),
    guid       TEXT NOT NULL UNIQUE,
    account    TEXT NOT NULL REFERENCES accounts (guid),
    amount     INTEGER NOT NULL,
    instrument TEXT NOT NULL,
    quantity   INTEGER NOT NULL,
    lot        TEXT NOT NULL,
    PRIMARY KEY (entry, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX lines_by_instrument ON lines (instrument, entry) WHERE instrument <> '';
CREATE INDEX lines_by_lot ON lines (lot, quantity, amount) WHERE lot <> '';
-- What the journal has been booked up to, once for each writing.
CREATE TABLE bookings (
    number      INTEGER PRIMARY KEY CHECK (number > 0),
    journal_seq INTEGER NOT NULL,
    last_entry  INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT;
-- What was found of a day, in order: synced at its end, reconciled, locked, reopened. It counts up to `last_entry`.
CREATE TABLE marks (
    number        INTEGER PRIMARY KEY CHECK (number > 0),
    day           TEXT NOT NULL,
    mark          TEXT NOT NULL CHECK (mark IN ('synced', 'reconciled', 'locked', 'reopened', 'decommissioned')),
    last_entry    INTEGER NOT NULL,
    final_at      INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    who           TEXT NOT NULL,
    why           TEXT NOT NULL,
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    hash          BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX marks_by_day ON marks (day, number);
CREATE VIEW day_locks AS
    SELECT day, mark IN ('locked', 'decommissioned') AS locked,
           CASE mark WHEN 'decommissioned' THEN 'DECOMMISSIONED' ELSE 'ACTIVE' END AS status, final_at
    FROM marks AS last
    WHERE mark IN ('locked', 'reopened', 'decommissioned')
      AND number = (SELECT max(number) FROM marks WHERE day = last.day AND mark IN ('locked', 'reopened', 'decommissioned'));
CREATE TRIGGER about_keeps_rows BEFORE DELETE ON about BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER about_keeps_columns BEFORE UPDATE ON about BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER chart_keeps_rows BEFORE DELETE ON chart BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER chart_keeps_columns BEFORE UPDATE ON chart BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER accounts_keep_rows BEFORE DELETE ON accounts BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER accounts_keep_columns BEFORE UPDATE ON accounts BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_keep_rows BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_keep_columns BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_grow_at_their_end BEFORE INSERT ON entries
    WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM entries)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_respect_locks BEFORE INSERT ON entries
    WHEN coalesce((SELECT mark FROM marks WHERE day = NEW.day AND mark IN ('locked', 'reopened', 'decommissioned')
                   ORDER BY number DESC LIMIT 1), 'reopened') <> 'reopened'
    BEGIN SELECT RAISE(ABORT, 'the day is locked'); END;
CREATE TRIGGER lines_keep_rows BEFORE DELETE ON lines BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER lines_keep_columns BEFORE UPDATE ON lines BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER lines_belong_to_the_last_entry BEFORE INSERT ON lines
    WHEN NEW.entry <> (SELECT max(number) FROM entries)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER bookings_keep_rows BEFORE DELETE ON bookings BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER bookings_keep_columns BEFORE UPDATE ON bookings BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER marks_keep_rows BEFORE DELETE ON marks BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER marks_keep_columns BEFORE UPDATE ON marks BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
INSERT INTO chart (role, kind, live, paper, title) VALUES
    ('bank_injection', 'asset', 'Assets:Bank:Float-Injection', 'Assets:Simulated-Bank:Float-Injection', 'Float injection from the group'),
    ('bank_returned', 'asset', 'Assets:Bank:Float-Returned', 'Assets:Simulated-Bank:Float-Returned', 'Float returned to the group'),
    ('cash', 'asset', 'Assets:{broker}:Cash', 'Assets:Simulated-{broker}:Cash', 'Cash at the broker'),
    ('equities', 'asset', 'Assets:{broker}:Equities', 'Assets:Simulated-{broker}:Equities', 'Positions at cost; short ones are negative'),
    ('gains', 'income', 'Income:Realized-Gains:{broker}', 'Income:Simulated-Realized-Gains:{broker}', 'Realized gains as decided, slippage apart'),
    ('dividends', 'income', 'Income:Dividends:{broker}', 'Income:Simulated-Dividends:{broker}', 'Dividends'),
    ('interest', 'income', 'Income:Interest:{broker}', 'Income:Simulated-Interest:{broker}', 'Interest on cash'),
    ('fees', 'expense', 'Expenses:Broker-Fees:{broker}', 'Expenses:Simulated-Broker-Fees:{broker}', 'Commissions and regulatory fees'),
    ('borrow', 'expense', 'Expenses:Borrow-Fees:{broker}', 'Expenses:Simulated-Borrow-Fees:{broker}', 'Fees for borrowed shares'),
    ('slippage', 'expense', 'Expenses:Slippage-Execution-Losses', 'Expenses:Simulated-Slippage-Execution-Losses', 'Slippage and execution losses'),
    ('timeouts', 'expense', 'Expenses:API-Timeout-Penalties', 'Expenses:Simulated-API-Timeout-Penalties', 'API timeout penalties'),
    ('infrastructure', 'expense', 'Expenses:Bot-Infrastructure-Costs', 'Expenses:Simulated-Platform-Access-Charges', 'Bot infrastructure costs; simulated platform access charges'),
    ('capital', 'equity', 'Equity:Capital-Float-Ledger', 'Equity:Simulated-Capital-Float', 'Capital float'),
    ('allocation', 'equity', 'Equity:Daily-Float-Allocation-History', 'Equity:Simulated-Daily-Float-Allocation-History', 'Daily float allocation history'),
    ('opening', 'equity', 'Equity:Opening-Balance', 'Equity:Opening-Equity-for-Scenario', 'Opening balance; opening equity for a scenario'),
    ('reset', 'equity', '', 'Equity:Reset-Marker', 'What resets of simulated accounts took away or gave');

-- What was done, by whom, from where. Rows are added and, when they are old, removed; never changed.
CREATE TABLE _alyx_audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    identity TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'denied', 'failed')),
    request_id TEXT NOT NULL,
    details_json TEXT
) STRICT;
CREATE INDEX _alyx_audit_identity ON _alyx_audit (identity, seq);
CREATE INDEX _alyx_audit_action ON _alyx_audit (action, seq);
CREATE TRIGGER _alyx_audit_fixed BEFORE UPDATE ON _alyx_audit
BEGIN SELECT raise(ABORT, 'audit rows are never changed'); END;

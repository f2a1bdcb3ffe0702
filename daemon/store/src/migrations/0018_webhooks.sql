-- Webhooks that were made at run time, in the form of the schema.
CREATE TABLE _alyx_webhooks (
    id TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests that webhooks made, one row an attempt.
CREATE TABLE _alyx_deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    webhook TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at TEXT NOT NULL,
    url TEXT NOT NULL,
    request TEXT NOT NULL,
    status INTEGER,
    response TEXT,
    error TEXT,
    duration_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX _alyx_deliveries_webhooks ON _alyx_deliveries (webhook, seq);

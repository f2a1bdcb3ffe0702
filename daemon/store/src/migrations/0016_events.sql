-- Events that the project itself names, as they were published.
CREATE TABLE _alyx_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    identity TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
CREATE INDEX _alyx_events_names ON _alyx_events (name, seq);

-- Hooks that were made at run time, in the form of the schema.
CREATE TABLE _alyx_hooks (
    id TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

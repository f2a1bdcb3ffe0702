-- Keys of programs. Of a secret only its hash is here. After a rotation the secret before it may be good for
-- a while.
CREATE TABLE _alyx_api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- JSON array of texts.
    scopes TEXT NOT NULL,
    hash BLOB NOT NULL,
    previous_hash BLOB,
    previous_until TEXT,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    rotated_at TEXT,
    expires_at TEXT,
    last_used_at TEXT
) STRICT, WITHOUT ROWID;

-- What functions are given and nobody reads back. Sealed with the key of the data directory.
CREATE TABLE _alyx_secrets (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

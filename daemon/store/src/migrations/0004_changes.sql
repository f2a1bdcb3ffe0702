-- Rows of one transaction belong together: the first has no first_seq, the others name the first.
ALTER TABLE _alyx_changes ADD COLUMN first_seq INTEGER;

-- Those who must see every change and may stop for a while; nothing they have not seen is trimmed.
CREATE TABLE _alyx_consumers (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

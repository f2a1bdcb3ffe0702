-- What came to inbound webhooks, so that no delivery runs twice: hashes of what its sender signed and of
-- the id that it gave.
CREATE TABLE _alyx_received (
    path TEXT NOT NULL,
    key BLOB NOT NULL,
    -- 0 while its sender waits for a function
    done INTEGER NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (path, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX _alyx_received_until ON _alyx_received (until);

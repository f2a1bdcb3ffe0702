-- Accounts that somebody guessed at too often, as clients named them, and from where.
CREATE TABLE _alyx_lockouts (
    account TEXT NOT NULL,
    -- `address:…`, `device:…`, or `any` for the account as a whole.
    place TEXT NOT NULL,
    failures INTEGER NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (account, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX _alyx_lockouts_until ON _alyx_lockouts (until);

-- Devices on which somebody signed in.
CREATE TABLE _alyx_devices (
    hash BLOB PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX _alyx_devices_user ON _alyx_devices (user_id, expires_at);
CREATE INDEX _alyx_devices_expiry ON _alyx_devices (expires_at);

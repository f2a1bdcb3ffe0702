-- Credentials of Web Authentication: public keys with which accounts are signed in to. `sign_count` is
-- the highest counter that was seen.
CREATE TABLE _alyx_passkeys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES _alyx_credentials (user_id) ON DELETE CASCADE,
    credential_id BLOB NOT NULL UNIQUE,
    public_key BLOB NOT NULL,
    sign_count INTEGER NOT NULL,
    transports TEXT NOT NULL,
    name TEXT NOT NULL,
    backup_eligible INTEGER NOT NULL,
    backed_up INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    last_used_at TEXT
) STRICT;
CREATE INDEX _alyx_passkeys_user ON _alyx_passkeys (user_id, created_at);

-- Mails on their way. A row is written in the transaction that causes it; whoever sends looks for rows
-- that are due. `sealed` is what the template is filled with, encrypted because it may hold a link or a
-- code; it goes once the mail can no longer be sent. Rows that are `void` are for addresses without an
-- account: they cost what others cost and are never sent.
CREATE TABLE _alyx_mail (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    template TEXT NOT NULL,
    locale TEXT NOT NULL,
    sealed BLOB,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'dead', 'void')),
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    due_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    settled_at TEXT,
    error TEXT
) STRICT;
CREATE INDEX _alyx_mail_due ON _alyx_mail (due_at) WHERE state = 'waiting';
CREATE INDEX _alyx_mail_expires ON _alyx_mail (expires_at);
CREATE INDEX _alyx_mail_user ON _alyx_mail (user_id);

-- What was handed out to be brought back once: links, codes, the step before a second factor. Hashes
-- only. `user_id` is empty where there was no account to hand it to.
CREATE TABLE _alyx_challenges (
    hash BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    user_id TEXT NOT NULL,
    email TEXT NOT NULL,
    code_hash BLOB,
    attempts_left INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX _alyx_challenges_user ON _alyx_challenges (user_id, purpose);
CREATE INDEX _alyx_challenges_expires ON _alyx_challenges (expires_at);

-- Second factors. `last_step` is the time step of the last accepted code: none is accepted twice.
CREATE TABLE _alyx_totp (
    user_id TEXT PRIMARY KEY,
    sealed_secret BLOB NOT NULL,
    created_at TEXT NOT NULL,
    confirmed_at TEXT,
    last_step INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    failures_since TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE _alyx_recovery_codes (
    user_id TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

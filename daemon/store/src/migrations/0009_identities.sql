-- Who accounts are elsewhere: subjects of OAuth and OpenID Connect providers.
CREATE TABLE _alyx_identities (
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES _alyx_credentials (user_id) ON DELETE CASCADE,
    linked_at TEXT NOT NULL,
    PRIMARY KEY (provider, subject)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX _alyx_identities_user ON _alyx_identities (user_id, provider);

-- Answers to requests with an Idempotency-Key, written in the transaction of what they answer. identity
-- tells callers apart, request is a hash of what was asked.
CREATE TABLE _alyx_answers (
    identity TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (identity, key)
) STRICT;
CREATE INDEX _alyx_answers_at ON _alyx_answers (at);

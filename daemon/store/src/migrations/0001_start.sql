-- The applied schema as its author wrote it, and which database this is: a restored copy gets another
-- incarnation, so that positions in the change feed of one are never taken for those of the other.
CREATE TABLE _alyx_schema (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    text TEXT,
    applied_at TEXT,
    incarnation TEXT NOT NULL
) STRICT;
INSERT INTO _alyx_schema (one, incarnation) VALUES (1, lower(hex(randomblob(16))));

-- The change feed. AUTOINCREMENT: a number is never used twice, also after the newest row is trimmed.
CREATE TABLE _alyx_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    op TEXT NOT NULL CHECK (op IN ('create', 'update', 'delete')),
    identity TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;

-- What a user signs in with. No reference to users: that table comes and goes with the schema, and the
-- store removes these rows itself together with the document.
CREATE TABLE _alyx_credentials (
    user_id TEXT PRIMARY KEY,
    password_hash TEXT,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE _alyx_sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    ended_at TEXT
) STRICT;
CREATE INDEX _alyx_sessions_user ON _alyx_sessions (user_id);
CREATE INDEX _alyx_sessions_ended ON _alyx_sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX _alyx_sessions_expires ON _alyx_sessions (expires_at);

-- Hashes only; used ones stay, so that their second use is noticed.
CREATE TABLE _alyx_refresh_tokens (
    hash BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES _alyx_sessions (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX _alyx_refresh_tokens_session ON _alyx_refresh_tokens (session_id);
CREATE INDEX _alyx_refresh_tokens_expires ON _alyx_refresh_tokens (expires_at);

CREATE TABLE _alyx_signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    pkcs8 BLOB NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- seq is the order of completion, in which they are listed; id is made when they start.
CREATE TABLE _alyx_executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    function TEXT NOT NULL,
    version TEXT NOT NULL,
    trigger TEXT NOT NULL,
    identity TEXT NOT NULL,
    started_at TEXT NOT NULL,
    queue_us INTEGER NOT NULL,
    run_us INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    cause_json TEXT,
    status INTEGER,
    cpu_us INTEGER,
    memory_peak_bytes INTEGER,
    input_bytes INTEGER NOT NULL,
    output_bytes INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    lowered_json TEXT,
    error_code TEXT,
    error_message TEXT
) STRICT;
CREATE INDEX _alyx_executions_function ON _alyx_executions (function, seq);
CREATE INDEX _alyx_executions_outcome ON _alyx_executions (outcome, seq);

CREATE TABLE _alyx_execution_logs (
    execution_seq INTEGER NOT NULL REFERENCES _alyx_executions (seq) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    at TEXT NOT NULL,
    level TEXT NOT NULL,
    stream TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (execution_seq, line)
) STRICT, WITHOUT ROWID;

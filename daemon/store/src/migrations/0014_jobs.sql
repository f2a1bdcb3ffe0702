-- Work that is owed: what a committed transaction caused and somebody carries out afterwards. Of the jobs
-- of one `key` at most one is pending or running; the later ones are `held` until it is settled.
CREATE TABLE _alyx_jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    -- Who carries it out, and which of theirs it is for.
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    key TEXT,
    payload TEXT NOT NULL,
    -- How many jobs caused each other before this one.
    depth INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'pending', 'running', 'done', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    run_at TEXT NOT NULL,
    -- While it runs: by when whoever runs it has settled it.
    lease_until TEXT,
    created_at TEXT NOT NULL,
    settled_at TEXT,
    error TEXT
) STRICT;
CREATE INDEX _alyx_jobs_due ON _alyx_jobs (kind, run_at, seq) WHERE state = 'pending';
CREATE INDEX _alyx_jobs_leases ON _alyx_jobs (lease_until) WHERE state = 'running';
CREATE INDEX _alyx_jobs_keys ON _alyx_jobs (key, state, seq) WHERE key IS NOT NULL;
CREATE INDEX _alyx_jobs_dead ON _alyx_jobs (seq) WHERE state = 'dead';
CREATE INDEX _alyx_jobs_settled ON _alyx_jobs (settled_at) WHERE settled_at IS NOT NULL;

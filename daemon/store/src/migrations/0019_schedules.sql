-- Schedules: those of the schema, and those that administrators made. What they cause are jobs.
CREATE TABLE _alyx_schedules (
    name TEXT NOT NULL PRIMARY KEY,
    -- 'schema' or 'api'
    source TEXT NOT NULL,
    -- as it was declared, with every default
    definition_json TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    -- where intervals are counted from
    anchor TEXT NOT NULL,
    -- when it is due; null for one that is over or switched off
    next_at TEXT,
    -- when its last run was due
    last_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX _alyx_schedules_due ON _alyx_schedules (next_at) WHERE next_at IS NOT NULL AND paused = 0;
CREATE INDEX _alyx_jobs_open ON _alyx_jobs (kind, target) WHERE state IN ('held', 'pending', 'running');

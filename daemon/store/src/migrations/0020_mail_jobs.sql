-- Mails are sent by jobs: `_alyx_mail` holds what a mail says, and the job with its id when and whether it
-- is sent. One without a recipient is for an address without an account: it costs what others cost and is
-- never sent.
INSERT INTO _alyx_jobs (id, kind, target, payload, depth, state, attempts, run_at, created_at, settled_at, error)
SELECT id, 'mail', template, '{}', 0,
    CASE state WHEN 'waiting' THEN 'pending' WHEN 'dead' THEN 'dead' ELSE 'done' END,
    attempts, due_at, created_at,
    CASE state WHEN 'waiting' THEN NULL ELSE coalesce(settled_at, created_at) END, error
FROM _alyx_mail;

CREATE TABLE _alyx_mail_new (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    template TEXT NOT NULL,
    locale TEXT NOT NULL,
    -- What the template is filled with, encrypted because it may hold a link or a code; it goes when that
    -- has expired.
    sealed BLOB,
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO _alyx_mail_new SELECT id, user_id, recipient, template, locale, sealed, expires_at FROM _alyx_mail;
DROP TABLE _alyx_mail;
ALTER TABLE _alyx_mail_new RENAME TO _alyx_mail;
CREATE INDEX _alyx_mail_expires ON _alyx_mail (expires_at) WHERE sealed IS NOT NULL;
CREATE INDEX _alyx_mail_user ON _alyx_mail (user_id);

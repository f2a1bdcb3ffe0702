-- How a session began.
ALTER TABLE _alyx_sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'password';

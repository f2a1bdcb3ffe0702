-- What was done to the tables of collections, newest last. `before` and `after` are schema texts.
CREATE TABLE _alyx_applications (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    changes_json TEXT NOT NULL,
    backup TEXT,
    reversible INTEGER NOT NULL CHECK (reversible IN (0, 1)),
    seq INTEGER NOT NULL
) STRICT;

-- Migration files of the project. Each is applied once; its text stays, so that it can be taken back.
CREATE TABLE _alyx_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('baseline', 'applied', 'taken_back')),
    at TEXT NOT NULL,
    application INTEGER
) STRICT;

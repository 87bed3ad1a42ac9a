"""The schema as numbered steps. Steps are only ever appended, never changed.

A file's `PRAGMA user_version` is the number of steps applied to it.
"""

MIGRATIONS = (
    # 1
    """
    CREATE TABLE value (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE setting (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE consent (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE TRIGGER consent_no_update BEFORE UPDATE ON consent
        BEGIN SELECT RAISE(ABORT, 'append only'); END;
    CREATE TRIGGER consent_no_delete BEFORE DELETE ON consent
        BEGIN SELECT RAISE(ABORT, 'append only'); END;

    CREATE TABLE charge (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE TRIGGER charge_no_update BEFORE UPDATE ON charge
        BEGIN SELECT RAISE(ABORT, 'append only'); END;
    CREATE TRIGGER charge_no_delete BEFORE DELETE ON charge
        BEGIN SELECT RAISE(ABORT, 'append only'); END;

    CREATE TABLE outbox (
        attempt TEXT PRIMARY KEY,
        charge_seq INTEGER NOT NULL REFERENCES charge (seq),
        task_id TEXT NOT NULL,
        round_id INTEGER NOT NULL,
        closes_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        body BLOB,
        state TEXT NOT NULL
            CHECK (state IN ('unsent', 'acknowledged', 'closed', 'refused', 'withdrawn')),
        settled_at INTEGER,
        receipt TEXT
    );
    CREATE UNIQUE INDEX outbox_charge ON outbox (charge_seq);

    CREATE TABLE sample (
        id INTEGER PRIMARY KEY,
        features BLOB NOT NULL,
        label INTEGER NOT NULL CHECK (label IN (0, 1)),
        source TEXT NOT NULL,
        added_at INTEGER NOT NULL,
        UNIQUE (features, label)
    );
    """,
    # 2
    """
    CREATE TABLE round_claim (
        task_id TEXT NOT NULL,
        round_id INTEGER NOT NULL,
        claim TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (task_id, round_id, claim)
    ) WITHOUT ROWID;
    CREATE TRIGGER round_claim_no_update BEFORE UPDATE ON round_claim
        BEGIN SELECT RAISE(ABORT, 'append only'); END;
    CREATE TRIGGER round_claim_no_delete BEFORE DELETE ON round_claim
        BEGIN SELECT RAISE(ABORT, 'append only'); END;
    """,
    # 3
    """
    CREATE TABLE charge_seal (seq INTEGER PRIMARY KEY, seal TEXT NOT NULL);
    """,
    # 4: file names are removed, times become days; a digest tells files apart
    """
    CREATE TABLE sample_by_source (
        id INTEGER PRIMARY KEY,
        features BLOB NOT NULL,
        label INTEGER NOT NULL CHECK (label IN (0, 1)),
        source TEXT NOT NULL,
        added_at INTEGER NOT NULL,
        digest BLOB UNIQUE,
        UNIQUE (features, label)
    );
    INSERT INTO sample_by_source
        SELECT id, features, label, 'person', added_at - added_at % 86400, NULL FROM sample;
    DROP TABLE sample;
    ALTER TABLE sample_by_source RENAME TO sample;
    """,
)

package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations bring an index from one version to the next; PRAGMA user_version
// counts those that were done. One that was ever released is never changed.
// Instants are milliseconds since 1970 in UTC, 0 for none; durations are seconds.
var migrations = []string{
	`CREATE TABLE runs (
		id INTEGER PRIMARY KEY,
		key TEXT NOT NULL,
		schedule TEXT NOT NULL,
		scenario TEXT NOT NULL,
		planned INTEGER NOT NULL,
		started INTEGER NOT NULL,
		ended INTEGER NOT NULL DEFAULT 0,
		state TEXT NOT NULL,
		verdict TEXT NOT NULL DEFAULT '',
		summary TEXT NOT NULL DEFAULT '',
		note TEXT NOT NULL DEFAULT '',
		seed INTEGER NOT NULL,
		backend TEXT NOT NULL,
		setup TEXT NOT NULL,
		folder TEXT NOT NULL DEFAULT '',
		failover REAL,
		censored INTEGER NOT NULL DEFAULT 0,
		rpo REAL,
		lost_sessions INTEGER,
		lost_writes INTEGER,
		trials INTEGER NOT NULL DEFAULT 0,
		valid INTEGER NOT NULL DEFAULT 0,
		result BLOB
	);
	CREATE INDEX runs_key ON runs(key);
	CREATE INDEX runs_setup ON runs(scenario, setup, id);`,

	`ALTER TABLE runs ADD COLUMN regression TEXT NOT NULL DEFAULT '';
	CREATE TABLE announcements (
		id INTEGER PRIMARY KEY,
		run INTEGER NOT NULL REFERENCES runs(id),
		at INTEGER NOT NULL,
		event TEXT NOT NULL,
		hook TEXT NOT NULL,
		error TEXT NOT NULL
	);
	CREATE INDEX announcements_run ON announcements(run);`,
}

// migrate brings the index to the version of this program, in one transaction.
func migrate(ctx context.Context, db *sql.DB, steps []string) (err error) {
	tx, err := db.BeginTx(ctx, nil) // immediate: two that migrate at once wait for each other
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback()
		}
	}()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("it has version %d, and this program knows up to %d; use the fivenines that wrote it", version, len(steps))
	}
	for n := version; n < len(steps); n++ {
		if _, err := tx.ExecContext(ctx, steps[n]); err != nil {
			return fmt.Errorf("bring it to version %d: %w", n+1, err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return err
	}
	return tx.Commit()
}

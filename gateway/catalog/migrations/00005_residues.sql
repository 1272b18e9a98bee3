-- What earlier releases have left behind.

-- +goose Up
UPDATE versions SET seen_at = created_at WHERE state = 'intent';
UPDATE uploads SET seen_at = created_at;
UPDATE parts SET seen_at = created_at;
INSERT INTO residues (blob, tenant, version, why, certain, since, due, tries, locked)
	SELECT blob, tenant, version, state, state = 'erased', created_at, 0, 0, FALSE FROM versions
	WHERE state IN ('aborted', 'erased') AND blob <> '';
INSERT INTO residues (blob, tenant, version, why, certain, since, due, tries, locked)
	SELECT blob, tenant, version, state, stored_size > 0, created_at, 0, 0, FALSE FROM parts WHERE state = 'dropped';
DELETE FROM parts WHERE state = 'dropped';
DROP INDEX uploads_time;
CREATE INDEX uploads_seen ON uploads (seen_at);
CREATE INDEX versions_open ON versions (seen_at) WHERE state = 'intent' AND blob <> '';
CREATE INDEX parts_open ON parts (seen_at) WHERE state = 'intent';
CREATE INDEX residues_due ON residues (due);
CREATE INDEX residues_version ON residues (version);

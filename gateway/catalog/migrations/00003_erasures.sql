-- Erased versions and closing buckets, and what finds a recording's versions,
-- a bucket's, and a version's terms.

-- +goose Up
ALTER TABLE buckets ADD COLUMN closing BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX versions_recording ON versions (recording);
CREATE INDEX versions_bucket ON versions (bucket, state);
CREATE INDEX terms_version ON terms (version);

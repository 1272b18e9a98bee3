-- Uploads in parts. An upload is an intent in versions, and a row here for as
-- long as it is open; each attempt at a part is a blob with a row of its own.

-- +goose Up
ALTER TABLE versions ADD COLUMN parts BIGINT NOT NULL DEFAULT 0; -- 0: it came whole
CREATE INDEX versions_older ON versions (name_index, tenant)
	WHERE name_index IS NOT NULL AND NOT is_current;

CREATE TABLE uploads (
	version      BYTEA  NOT NULL PRIMARY KEY,
	tenant       BYTEA  NOT NULL,
	bucket       BYTEA  NOT NULL,
	name_index   BYTEA  NOT NULL,
	wrapped_dek  BYTEA  NOT NULL,
	sealed_facts BYTEA  NOT NULL,
	created_at   BIGINT NOT NULL
);
CREATE INDEX uploads_bucket ON uploads (bucket, tenant);
CREATE INDEX uploads_time ON uploads (created_at);

CREATE TABLE parts (
	blob        TEXT   NOT NULL PRIMARY KEY,
	version     BYTEA  NOT NULL,
	tenant      BYTEA  NOT NULL,
	number      BIGINT NOT NULL, -- 4294967295 is the list of parts
	state       TEXT   NOT NULL, -- intent, stored, dropped
	stored_size BIGINT NOT NULL,
	sealed      BYTEA,           -- the blob's layout, until the upload is complete
	created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX parts_stored ON parts (version, number) WHERE state = 'stored';
CREATE INDEX parts_version ON parts (version, state);

CREATE TABLE part_lists (
	version BYTEA NOT NULL PRIMARY KEY,
	tenant  BYTEA NOT NULL,
	sealed  BYTEA NOT NULL
);

-- One schema for SQLite, PostgreSQL and what speaks its dialect. Times are
-- Unix microseconds. Identifiers are 16 random bytes, indexes 32-byte HMACs,
-- what is sealed is opaque: no row identifies a person.

-- +goose Up
CREATE TABLE tenants (
	id         BYTEA  NOT NULL PRIMARY KEY,
	name       TEXT   NOT NULL,
	state      TEXT   NOT NULL, -- active, revoked, erasing, erased
	epoch      BIGINT NOT NULL,
	head       BYTEA  NOT NULL,
	journal    BIGINT NOT NULL,
	created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX tenants_name ON tenants (name) WHERE state <> 'erased';

CREATE TABLE tokens (
	hash       BYTEA  NOT NULL PRIMARY KEY,
	tenant     BYTEA  NOT NULL,
	sealed     BYTEA  NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE credentials (
	access_key TEXT   NOT NULL PRIMARY KEY,
	tenant     BYTEA  NOT NULL,
	kind       TEXT   NOT NULL,
	sealed     BYTEA  NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE buckets (
	bucket       BYTEA  NOT NULL PRIMARY KEY,
	tenant       BYTEA  NOT NULL,
	bucket_index BYTEA  NOT NULL,
	sealed       BYTEA  NOT NULL,
	created_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX buckets_index ON buckets (tenant, bucket_index);

CREATE TABLE subjects (
	tenant        BYTEA  NOT NULL,
	subject_index BYTEA  NOT NULL,
	slot          BIGINT NOT NULL,
	PRIMARY KEY (tenant, subject_index)
);

CREATE TABLE versions (
	version        BYTEA   NOT NULL PRIMARY KEY,
	tenant         BYTEA   NOT NULL,
	bucket         BYTEA   NOT NULL,
	recording      BYTEA   NOT NULL,
	state          TEXT    NOT NULL, -- intent, committed, aborted, replaced
	is_current     BOOLEAN NOT NULL,
	blob           TEXT    NOT NULL,
	slot_recording BIGINT  NOT NULL,
	slot_subject   BIGINT  NOT NULL,
	slot_day       BIGINT  NOT NULL,
	created_at     BIGINT  NOT NULL,

	-- set when the intent is committed
	committed_at BIGINT,
	name_index   BYTEA,
	dir_index    BYTEA,
	size         BIGINT,
	stored_size  BIGINT,
	class        TEXT,
	wrapped_dek  BYTEA,
	sealed_facts BYTEA,
	sealed_end   BYTEA
);
-- What is unique comes first: a planner without statistics would else take
-- either index for its tenant alone, and read all that the tenant has.
CREATE UNIQUE INDEX versions_current ON versions (name_index, tenant)
	WHERE state = 'committed' AND is_current;
-- With the version, a directory can be compared with what is known of it
-- without reading a row. Slots are handed out in order, so rows that must be
-- read after all are read about as they were written, not at random.
CREATE INDEX versions_directory ON versions (dir_index, tenant, slot_recording, version)
	WHERE state = 'committed' AND is_current;

CREATE TABLE directories (
	tenant       BYTEA NOT NULL,
	dir_index    BYTEA NOT NULL,
	parent_index BYTEA NOT NULL,
	bucket       BYTEA NOT NULL,
	PRIMARY KEY (dir_index, tenant)
);
CREATE INDEX directories_parent ON directories (parent_index, tenant);

CREATE TABLE terms (
	tenant  BYTEA NOT NULL,
	term    BYTEA NOT NULL,
	version BYTEA NOT NULL,
	PRIMARY KEY (tenant, term, version)
);

CREATE TABLE events (
	id          BYTEA  NOT NULL PRIMARY KEY,
	tenant      BYTEA  NOT NULL,
	happened_at BIGINT NOT NULL,
	who         TEXT   NOT NULL,
	action      TEXT   NOT NULL,
	outcome     TEXT   NOT NULL,
	reason      TEXT   NOT NULL,
	bucket      BYTEA  NOT NULL,
	recording   BYTEA  NOT NULL,
	version     BYTEA  NOT NULL,
	request     TEXT   NOT NULL,
	sealed      BYTEA
);
CREATE INDEX events_time ON events (tenant, happened_at);

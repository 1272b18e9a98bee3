-- Holds, versions that were filed under other slots, and expiry.

-- +goose Up
CREATE TABLE holds (
	id            BYTEA  NOT NULL PRIMARY KEY,
	tenant        BYTEA  NOT NULL,
	recording     BYTEA,           -- NULL if it is of a subject
	subject_index BYTEA,           -- NULL if it is of a recording
	slot          BIGINT NOT NULL, -- of the recordings tree, under whose key it is sealed
	sealed        BYTEA  NOT NULL,
	who           TEXT   NOT NULL,
	created_at    BIGINT NOT NULL
);
CREATE INDEX holds_time ON holds (tenant, created_at, id);
CREATE INDEX holds_recording ON holds (recording, tenant) WHERE recording IS NOT NULL;
CREATE INDEX holds_subject ON holds (subject_index, tenant) WHERE subject_index IS NOT NULL;

-- Where versions are, were or may come to be filed, of those that were filed anew:
-- whatever slot ever wrapped a data key, or may. Rows stay, as those of versions do.
CREATE TABLE filings (
	tenant         BYTEA  NOT NULL,
	version        BYTEA  NOT NULL,
	slot_recording BIGINT NOT NULL,
	slot_subject   BIGINT NOT NULL,
	slot_day       BIGINT NOT NULL,
	state          TEXT   NOT NULL, -- intended, current, former, abandoned
	blob           TEXT   NOT NULL, -- that holds the wrap; '' of the first, which is in the blobs of the version
	since          BIGINT NOT NULL,
	PRIMARY KEY (slot_recording, tenant)
);
CREATE INDEX filings_version ON filings (version);
CREATE INDEX filings_intended ON filings (tenant, since) WHERE state = 'intended';
CREATE INDEX filings_day ON filings (slot_day, tenant);
CREATE INDEX filings_subject ON filings (slot_subject, tenant);

-- The last day, counted from 1970, on which what had expired by then was erased.
CREATE TABLE expiries (
	tenant BYTEA  NOT NULL PRIMARY KEY,
	day    BIGINT NOT NULL
);

-- What sweep needs: signs of life of what is being uploaded, by the database's
-- clock; blobs that must go; and whether this catalog is older than its store.

-- +goose Up
ALTER TABLE versions ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0; -- of an intent
ALTER TABLE uploads ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE parts ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0; -- of an intent
ALTER TABLE buckets ADD COLUMN closing_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE residues (
	blob    TEXT    NOT NULL PRIMARY KEY,
	tenant  BYTEA   NOT NULL,
	version BYTEA   NOT NULL,
	why     TEXT    NOT NULL, -- aborted, erased, dropped
	certain BOOLEAN NOT NULL, -- the store had said that it is there, so it cannot appear later
	since   BIGINT  NOT NULL,
	due     BIGINT  NOT NULL, -- not tried before
	tries   BIGINT  NOT NULL, -- that failed, since the last that did not
	locked  BOOLEAN NOT NULL  -- at the last try a lock of the store held it
);

CREATE TABLE anchors (
	id         BIGINT NOT NULL PRIMARY KEY, -- 1: there is one row
	number     BIGINT NOT NULL,
	nonce      BYTEA  NOT NULL,
	not_before BIGINT NOT NULL -- what gave its last sign of life before is not judged here
);

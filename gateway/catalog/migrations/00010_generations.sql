-- Generations of blind indexes: rows move from one to the next, whereupon the key
-- of the older is forgotten.

-- +goose Up
ALTER TABLE tenants ADD COLUMN index_stage BIGINT NOT NULL DEFAULT 0; -- see Stage: three for each generation

-- Each has a row from when the next one is announced on.
CREATE TABLE generations (
	tenant       BYTEA  NOT NULL,
	generation   BIGINT NOT NULL,
	slot         BIGINT NOT NULL,           -- of its key, in the system tree
	journal      BIGINT NOT NULL,           -- the entry that announced the next one
	announced_at BIGINT NOT NULL,           -- the next one was, by the database's clock
	moving_at    BIGINT,                    -- nothing is written under it from then on
	moved_at     BIGINT,                    -- no row is under it
	forgotten_at BIGINT,                    -- its key is, and no lease of an older root can be left
	reached      BYTEA,                     -- how far rows have moved, in their order; NULL at first
	moved        BIGINT NOT NULL DEFAULT 0, -- versions
	damaged      BIGINT NOT NULL DEFAULT 0, -- versions that do not open, and so stay
	holder       BYTEA,                     -- who moves them, to save work and never for safety
	ends         BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant, generation)
);
CREATE INDEX generations_open ON generations (tenant) WHERE forgotten_at IS NULL;

-- The newest generation that was announced when it was asked: once that one is forgotten,
-- nothing confirms by an index what was erased. Of an erasure that was restored it is
-- not known: 0, until it is known to be at most one that rows move to.
ALTER TABLE erasures ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
CREATE INDEX erasures_generation ON erasures (generation, tenant, asked_at, id);

-- While rows move a hold is found by the term that they have, or had.
ALTER TABLE holds ADD COLUMN older_index BYTEA;
CREATE INDEX holds_older ON holds (older_index, tenant) WHERE older_index IS NOT NULL;

-- What is left of a generation once all versions have moved.
ALTER TABLE subjects ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
CREATE INDEX subjects_generation ON subjects (generation, tenant);
ALTER TABLE directories ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
CREATE INDEX directories_generation ON directories (generation, tenant);

-- The order in which versions move.
DROP INDEX versions_bucket;
CREATE INDEX versions_bucket ON versions (bucket, state, version);

-- What an open upload is named is sealed in its facts.
ALTER TABLE uploads DROP COLUMN name_index;

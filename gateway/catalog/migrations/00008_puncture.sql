-- Keys that are forgotten: what was asked for, which slots of the key trees it
-- takes, and the epochs that take them.

-- +goose Up
CREATE TABLE erasures (
	id           BYTEA   NOT NULL PRIMARY KEY,
	tenant       BYTEA   NOT NULL,
	scope        TEXT    NOT NULL, -- recording, version, subject, day
	state        TEXT    NOT NULL, -- queued, punctured, effective, certified
	who          TEXT    NOT NULL,
	reason       TEXT    NOT NULL,
	commitment   BYTEA   NOT NULL,
	scope_index  BYTEA,            -- blind, by which it is found again; NULL once its generation is forgotten
	asked_at     BIGINT  NOT NULL,
	base         BIGINT  NOT NULL, -- the tenant's epoch when it was asked
	record       BYTEA   NOT NULL, -- sealed, as it goes to the store
	recorded     BOOLEAN NOT NULL, -- it is there
	versions     BIGINT  NOT NULL, -- whose rows it has flipped by now
	refiled      BIGINT  NOT NULL,
	epoch        BIGINT  NOT NULL, -- that punctured its slots; 0 before

	-- set when it is certified
	certified_at BIGINT,
	certificate  BYTEA
);
CREATE INDEX erasures_scope ON erasures (scope_index, tenant) WHERE scope_index IS NOT NULL;
CREATE INDEX erasures_time ON erasures (tenant, asked_at, id);
CREATE INDEX erasures_open ON erasures (tenant, state) WHERE state <> 'certified';
CREATE INDEX erasures_unrecorded ON erasures (tenant) WHERE NOT recorded;

-- Tombstones. A row without an erasure is a scrap: the slot of what was replaced
-- or aborted. Rows stay for ever, as slots are never used again. What is unique
-- comes first here too, lest a planner read all tombstones of a tenant.
CREATE TABLE punctures (
	tenant    BYTEA  NOT NULL,
	tree      BIGINT NOT NULL, -- 1 recordings, 2 subjects, 3 days, 4 system
	slot      BIGINT NOT NULL,
	erasure   BYTEA,
	epoch     BIGINT,          -- that punctured it; NULL before
	since     BIGINT NOT NULL,
	unsettled BIGINT,          -- the tree again, while versions that could be read may lie below it
	PRIMARY KEY (slot, tree, tenant)
);
CREATE INDEX punctures_open ON punctures (tenant, since) WHERE epoch IS NULL;
CREATE INDEX punctures_erasure ON punctures (erasure, epoch) WHERE erasure IS NOT NULL;
-- What every read asks. It is small, since all is settled soon; and a planner
-- takes no other for it, since no other has the column.
CREATE INDEX punctures_unsettled ON punctures (slot, unsettled, tenant) WHERE unsettled IS NOT NULL;

CREATE TABLE epochs (
	tenant        BYTEA  NOT NULL,
	epoch         BIGINT NOT NULL,
	version       BIGINT NOT NULL, -- of the provider's key, that its root is wrapped under
	slots         BIGINT NOT NULL, -- how many it punctured
	committed_at  BIGINT NOT NULL,

	-- set when what opened the roots before is destroyed
	effective_at  BIGINT,
	seen_at       BIGINT, -- the same moment by the database's clock
	oldest_before BIGINT,
	oldest_after  BIGINT,
	PRIMARY KEY (tenant, epoch)
);
CREATE INDEX epochs_open ON epochs (tenant, epoch) WHERE effective_at IS NULL;

-- Copies of pages of the key trees; what is not here is read from the store.
CREATE TABLE pages (
	tenant BYTEA  NOT NULL,
	tree   BIGINT NOT NULL,
	node   BIGINT NOT NULL, -- level << 40 | index
	epoch  BIGINT NOT NULL, -- that wrote it
	sealed BYTEA  NOT NULL,
	PRIMARY KEY (node, tree, tenant, epoch)
);

-- Who drives a tenant's epochs, to save work and never for safety.
CREATE TABLE epoch_leases (
	tenant BYTEA  NOT NULL PRIMARY KEY,
	holder BYTEA  NOT NULL,
	ends   BIGINT NOT NULL
);

-- What lies below a subject or a day.
CREATE INDEX versions_subject ON versions (slot_subject, tenant) WHERE state IN ('committed', 'replaced');
CREATE INDEX versions_day ON versions (slot_day, tenant) WHERE state IN ('committed', 'replaced');
-- With all slots, what lies below no tombstone is told without reading a row.
DROP INDEX versions_directory;
CREATE INDEX versions_directory ON versions (dir_index, tenant, slot_recording, version, slot_subject, slot_day)
	WHERE state = 'committed' AND is_current;

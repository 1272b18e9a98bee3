-- What lies below a tombstone of the recordings tree, of which a catalog that follows
-- many epochs at once has very many, is found by its slot.

-- +goose Up
CREATE INDEX versions_own ON versions (slot_recording, tenant) WHERE state IN ('committed', 'replaced');

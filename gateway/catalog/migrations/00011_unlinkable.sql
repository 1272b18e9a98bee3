-- Certificates are issued again once nothing confirms what was erased.

-- +goose Up
ALTER TABLE erasures ADD COLUMN unlinkable_at BIGINT; -- as the newest certificate says; NULL before
CREATE INDEX erasures_linkable ON erasures (tenant, generation, asked_at, id) WHERE unlinkable_at IS NULL AND state = 'certified';

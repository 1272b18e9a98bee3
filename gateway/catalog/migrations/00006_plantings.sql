-- Tenants that are being made by a process that may not make their root: one
-- that may takes them up here. A row lasts as long as its request.

-- +goose Up
CREATE TABLE plantings (
	tenant   BYTEA  NOT NULL PRIMARY KEY,
	asked_at BIGINT NOT NULL
);

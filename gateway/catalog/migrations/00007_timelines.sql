-- Which timeline of PostgreSQL the last anchor was written on; a database that
-- continues another, as a standby that took over does, is on a new one.

-- +goose Up
ALTER TABLE anchors ADD COLUMN timeline TEXT NOT NULL DEFAULT ''; -- '' if the database has none

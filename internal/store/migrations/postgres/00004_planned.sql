-- What applied plans mean for what renewal rests on. For times see 00001_ledger.sql.

-- +goose Up

-- One row for each plan that was announced because it makes or takes away grants of somebody who renews. It counts for
-- nothing until its apply has ended.
CREATE TABLE applied_plan (
  id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  announced BIGINT NOT NULL,
  ended     BIGINT NOT NULL, -- when the apply had ended; 0 before
  unseen    BIGINT NOT NULL, -- 1 while the cloud has not named something that it was to make
  body      TEXT NOT NULL    -- JSON
);
CREATE INDEX applied_ended ON applied_plan (ended);

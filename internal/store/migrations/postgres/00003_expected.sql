-- What renewal is known to rest on. For times see 00001_ledger.sql.

-- +goose Up

-- One row for each thing that a renewer must be allowed to do somewhere, as a cloud named it. Actions and scopes are in
-- lower case here, for clouds do not tell cases apart; the body has them as they were written.
CREATE TABLE expected_grant (
  renewer TEXT COLLATE "C" NOT NULL,
  scope   TEXT COLLATE "C" NOT NULL,
  action  TEXT COLLATE "C" NOT NULL,
  asked   BIGINT NOT NULL, -- when the cloud answered last
  body    TEXT NOT NULL,   -- JSON
  PRIMARY KEY (renewer, scope, action)
);
CREATE INDEX expected_asked ON expected_grant (asked);

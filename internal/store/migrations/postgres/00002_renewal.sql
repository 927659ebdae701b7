-- What renewal must not forget. Keys are sealed: nothing in here opens them. For times see 00001_ledger.sql.

-- +goose Up

-- Registrations at certificate authorities.
CREATE TABLE acme_account (
  id         TEXT COLLATE "C" PRIMARY KEY,
  directory  TEXT NOT NULL,
  location   TEXT NOT NULL, -- empty before it is registered
  contact    TEXT NOT NULL,
  sealed_key BYTEA NOT NULL,
  next_key   BYTEA NOT NULL, -- sealed; what a rollover under way changes to, empty when there is none
  created    BIGINT NOT NULL
);

-- One row for each certificate whose renewal was ever thought of.
CREATE TABLE renewal (
  certificate TEXT COLLATE "C" PRIMARY KEY,
  lease_owner TEXT NOT NULL DEFAULT '',
  lease_until BIGINT NOT NULL DEFAULT 0,
  forced      TEXT NOT NULL DEFAULT '',   -- who wants it renewed regardless of dates
  forced_at   BIGINT NOT NULL DEFAULT 0,
  unseen      SMALLINT NOT NULL DEFAULT 0, -- 1 while who holds the lease has not shown that it knows of the wish
  body        TEXT NOT NULL DEFAULT ''    -- JSON of the state without the wish; empty before the first
);

-- Certificates that were issued, with their keys.
CREATE TABLE issued (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  certificate  TEXT COLLATE "C" NOT NULL,
  fingerprint  BYTEA NOT NULL UNIQUE,
  not_before   BIGINT NOT NULL,
  not_after    BIGINT NOT NULL,
  issued_at    BIGINT NOT NULL,
  installed_at BIGINT NOT NULL,
  body         TEXT NOT NULL, -- JSON of the certificate
  chain        BYTEA NOT NULL, -- PEM, leaf first
  sealed_key   BYTEA NOT NULL
);
CREATE INDEX issued_newest ON issued (certificate, not_before, id);
CREATE INDEX issued_over ON issued (not_after);

-- Renewals and rehearsals with their steps. The order of ids is the order in which they were begun.
CREATE TABLE attempt (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  certificate TEXT COLLATE "C" NOT NULL,
  kind        TEXT COLLATE "C" NOT NULL,
  cause       TEXT NOT NULL, -- what or who caused it
  started     BIGINT NOT NULL,
  ended       BIGINT NOT NULL,
  outcome     TEXT NOT NULL,
  steps       TEXT NOT NULL, -- JSON
  fingerprint TEXT NOT NULL
);
CREATE INDEX attempt_certificate ON attempt (certificate, id);
CREATE INDEX attempt_kind ON attempt (certificate, kind, id);
CREATE INDEX attempt_started ON attempt (started);

-- TXT values that are, or are about to be, in somebody's zone and must be withdrawn.
CREATE TABLE pending (
  id      TEXT COLLATE "C" PRIMARY KEY,
  renewer TEXT NOT NULL,
  name    TEXT NOT NULL,
  value   TEXT NOT NULL,
  purpose TEXT NOT NULL,
  until   BIGINT NOT NULL -- when anybody may withdraw it
);
CREATE INDEX pending_until ON pending (until, id);

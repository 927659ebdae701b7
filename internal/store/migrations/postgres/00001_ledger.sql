-- Times are microseconds since 1970-01-01 UTC and durations are microseconds; 0 means not known or never.
-- Verdicts, severities and stages are ranks: see rank.go.

-- +goose Up

-- One row for each claim ever declared. num is derived from the id and begins with the shard, so that a shard's claims
-- lie together. The columns from run to fact_sum describe the newest run of evidence, so that a look at an unchanged
-- world writes this row alone.
CREATE TABLE claim (
  num         BIGINT PRIMARY KEY,
  id          TEXT COLLATE "C" NOT NULL,
  shard       INTEGER NOT NULL,
  link        TEXT COLLATE "C" NOT NULL,
  certificate TEXT COLLATE "C" NOT NULL,
  subject     TEXT COLLATE "C" NOT NULL,
  route       TEXT NOT NULL,
  owner       TEXT NOT NULL,
  declared    BIGINT NOT NULL,
  every       BIGINT NOT NULL,
  repair      BIGINT NOT NULL,
  gone        BIGINT NOT NULL DEFAULT 0, -- when it was withdrawn; 0 while it is declared
  next_look   BIGINT NOT NULL,
  run         BIGINT NOT NULL DEFAULT 0, -- the newest run; 0 when nobody ever looked
  alternate   BIGINT NOT NULL DEFAULT 0, -- the run that the newest one takes turns with
  returned    BIGINT NOT NULL DEFAULT 0,
  run_key     TEXT NOT NULL DEFAULT '',
  run_first   BIGINT NOT NULL DEFAULT 0,
  seen_at     BIGINT NOT NULL DEFAULT 0,
  looks       BIGINT NOT NULL DEFAULT 0,
  observer    TEXT NOT NULL DEFAULT '',
  fact_sum    BIGINT NOT NULL DEFAULT 0,
  closed      INTEGER NOT NULL DEFAULT 0, -- how many runs it has beside the newest
  stale_at    BIGINT NOT NULL,            -- when the evidence becomes too old, or its absence too long
  asked_until BIGINT NOT NULL DEFAULT 0,  -- until then the last judgement says that it is stale or missing
  verdict     SMALLINT NOT NULL DEFAULT 0,
  severity    SMALLINT NOT NULL DEFAULT 0,
  stage       SMALLINT NOT NULL DEFAULT 0,
  valid_until BIGINT NOT NULL DEFAULT 0,
  renew_by    BIGINT NOT NULL DEFAULT 0,
  reasons     TEXT COLLATE "C" NOT NULL DEFAULT '', -- severity:reason of each finding, for counting
  findings    TEXT NOT NULL DEFAULT ''    -- JSON; empty when there are none
);
CREATE INDEX claim_due ON claim (shard, next_look);
CREATE INDEX claim_stale ON claim (stale_at, asked_until, seen_at, link);
CREATE INDEX claim_certificate ON claim (certificate, link, subject, gone);
CREATE INDEX claim_totals ON claim (link, verdict, reasons) WHERE gone = 0;
CREATE INDEX claim_gone ON claim (gone) WHERE gone > 0;

-- One row for each run of equal facts. Of the newest run of a claim, last_seen, looks and observer are in the claim's row.
CREATE TABLE run (
  id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  claim      BIGINT NOT NULL,
  newest     SMALLINT NOT NULL,
  kind       TEXT NOT NULL,
  run_key    TEXT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen  BIGINT NOT NULL,
  looks      BIGINT NOT NULL,
  observer   TEXT NOT NULL,
  fact       BYTEA NOT NULL -- see fact.go
);
CREATE INDEX run_claim ON run (claim, newest, last_seen);
CREATE INDEX run_closed ON run (last_seen) WHERE newest = 0;

-- Certificates are kept once and shared by the runs that refer to them.
CREATE TABLE cert (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  fingerprint BYTEA NOT NULL UNIQUE,
  body        TEXT NOT NULL
);
CREATE TABLE cert_ref (
  cert BIGINT NOT NULL REFERENCES cert (id),
  run  BIGINT NOT NULL,
  PRIMARY KEY (cert, run)
);

-- One row for each declared certificate: what an overview shows of it. Derived from its claims.
CREATE TABLE certificate (
  name         TEXT COLLATE "C" PRIMARY KEY,
  name_lower   TEXT NOT NULL,
  owner        TEXT NOT NULL,
  endpoints    INTEGER NOT NULL,
  verdict      SMALLINT NOT NULL,
  severity     SMALLINT NOT NULL,
  reason       TEXT NOT NULL,
  summary      TEXT NOT NULL,
  valid_until  BIGINT NOT NULL,
  renew_by     BIGINT NOT NULL,
  v_inventory  SMALLINT NOT NULL,
  v_permission SMALLINT NOT NULL,
  v_renewal    SMALLINT NOT NULL,
  v_issuance   SMALLINT NOT NULL,
  v_serving    SMALLINT NOT NULL,
  v_people     SMALLINT NOT NULL,
  v_monitor    SMALLINT NOT NULL
);
CREATE INDEX certificate_runway ON certificate (valid_until, name);
CREATE INDEX certificate_verdict ON certificate (verdict, valid_until, name);

CREATE TABLE shard (
  no          INTEGER NOT NULL PRIMARY KEY,
  lease_owner TEXT NOT NULL DEFAULT '',
  lease_until BIGINT NOT NULL DEFAULT 0
);
INSERT INTO shard (no) SELECT generate_series(0, 511);

CREATE TABLE incident (
  id          TEXT COLLATE "C" PRIMARY KEY,
  cause       TEXT NOT NULL,
  state       TEXT NOT NULL,
  stage       SMALLINT NOT NULL,
  opened_at   BIGINT NOT NULL,
  resolved_at BIGINT NOT NULL,
  body        TEXT NOT NULL -- JSON of the whole incident
);
-- One cause is one incident, whoever opens it first.
CREATE UNIQUE INDEX incident_cause ON incident (cause) WHERE state <> 'resolved';
CREATE INDEX incident_opened ON incident (opened_at, id);
CREATE INDEX incident_state ON incident (state, opened_at, id);

CREATE TABLE touch (
  incident    TEXT COLLATE "C" NOT NULL,
  claim       TEXT COLLATE "C" NOT NULL,
  certificate TEXT COLLATE "C" NOT NULL,
  subject     TEXT NOT NULL,
  stage       SMALLINT NOT NULL,
  hurts_at    BIGINT NOT NULL,
  clear       INTEGER NOT NULL,
  clear_at    BIGINT NOT NULL,
  gone        SMALLINT NOT NULL DEFAULT 0, -- 1 once cleared; kept for the post-mortem
  orphan      SMALLINT NOT NULL DEFAULT 0, -- 1 while the claim is not declared
  finding     TEXT NOT NULL,
  PRIMARY KEY (incident, claim)
);
CREATE INDEX touch_claim ON touch (claim, gone);
CREATE INDEX touch_certificate ON touch (certificate, gone);
CREATE INDEX touch_orphan ON touch (claim) WHERE orphan = 1 AND gone = 0;

CREATE TABLE event (
  id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  incident TEXT COLLATE "C" NOT NULL,
  at       BIGINT NOT NULL,
  kind     TEXT NOT NULL,
  stage    SMALLINT NOT NULL,
  body     TEXT NOT NULL,
  who      TEXT NOT NULL
);
CREATE INDEX event_incident ON event (incident, id);

CREATE TABLE notice (
  id        TEXT COLLATE "C" PRIMARY KEY,
  incident  TEXT COLLATE "C" NOT NULL,
  kind      TEXT NOT NULL,
  stage     SMALLINT NOT NULL,
  severity  TEXT NOT NULL,
  route     TEXT NOT NULL,
  channels  TEXT NOT NULL, -- JSON
  dedup_key TEXT NOT NULL,
  at        BIGINT NOT NULL
);
CREATE INDEX notice_incident ON notice (incident);

CREATE TABLE delivery (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  notice      TEXT COLLATE "C" NOT NULL,
  incident    TEXT COLLATE "C" NOT NULL,
  channel     TEXT NOT NULL,
  state       TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  due_at      BIGINT NOT NULL, -- when it was first due
  next_at     BIGINT NOT NULL, -- when to try, or to try again
  lease_owner TEXT NOT NULL DEFAULT '',
  lease_until BIGINT NOT NULL DEFAULT 0,
  provider_id TEXT NOT NULL DEFAULT '',
  UNIQUE (notice, channel)
);
CREATE INDEX delivery_due ON delivery (state, next_at);
CREATE INDEX delivery_incident ON delivery (incident, channel, id);

CREATE TABLE receipt (
  delivery    BIGINT NOT NULL,
  attempt     INTEGER NOT NULL,
  channel     TEXT NOT NULL,
  at          BIGINT NOT NULL,
  class       TEXT NOT NULL,
  code        INTEGER NOT NULL,
  detail      TEXT NOT NULL,
  provider_id TEXT NOT NULL,
  PRIMARY KEY (delivery, attempt)
);

CREATE TABLE account (
  name          TEXT COLLATE "C" PRIMARY KEY,
  password_hash TEXT NOT NULL,
  created       BIGINT NOT NULL
);
CREATE TABLE session (
  token_hash BYTEA PRIMARY KEY,
  account    TEXT NOT NULL,
  csrf       TEXT NOT NULL,
  created    BIGINT NOT NULL,
  expires    BIGINT NOT NULL
);
CREATE INDEX session_expires ON session (expires);
CREATE TABLE token (
  name       TEXT COLLATE "C" PRIMARY KEY,
  token_hash BYTEA NOT NULL UNIQUE,
  scope      TEXT NOT NULL,
  created    BIGINT NOT NULL,
  expires    BIGINT NOT NULL
);
CREATE TABLE audit (
  id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at     BIGINT NOT NULL,
  who    TEXT NOT NULL,
  remote TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL
);

-- The operators' log. audit_last is one row, written first by whoever appends, so
-- that one appends at a time; it remembers how long the log is.

CREATE TABLE audit_entry (
  seq     BIGINT NOT NULL CHECK (seq > 0),
  at      BIGINT NOT NULL,
  actor   TEXT   NOT NULL,
  action  TEXT   NOT NULL,
  subject TEXT   NOT NULL,
  prev    BYTEA  NOT NULL CHECK (octet_length(prev) = 32),
  PRIMARY KEY (seq)
);
CREATE INDEX audit_entry_at ON audit_entry (at);

CREATE TABLE audit_last (
  one  BIGINT NOT NULL CHECK (one = 1),
  seq  BIGINT NOT NULL CHECK (seq > 0),
  hash BYTEA  NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (one)
);

CREATE TABLE audit_head (
  day    TEXT   NOT NULL,
  seq    BIGINT NOT NULL CHECK (seq > 0),
  signed BYTEA  NOT NULL,
  PRIMARY KEY (day)
);

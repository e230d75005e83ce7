-- Operators of the issuer: API keys and sessions as hashes, and revocations that
-- wait for a second operator.

CREATE TABLE operator_key (
  key_id     BYTEA  NOT NULL CHECK (octet_length(key_id) = 8),
  hash       BYTEA  NOT NULL CHECK (octet_length(hash) = 32),
  name       TEXT   NOT NULL,
  role       TEXT   NOT NULL,
  scopes     TEXT   NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL,
  PRIMARY KEY (key_id)
);

CREATE TABLE operator_session (
  hash       BYTEA  NOT NULL CHECK (octet_length(hash) = 32),
  actor      TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  role       TEXT   NOT NULL,
  scopes     TEXT   NOT NULL,
  key_id     BYTEA  NOT NULL CHECK (octet_length(key_id) = 8),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (hash)
);

CREATE TABLE proposal (
  proposal_id BYTEA  NOT NULL CHECK (octet_length(proposal_id) = 16),
  action      TEXT   NOT NULL,
  subject     TEXT   NOT NULL,
  reason      TEXT   NOT NULL,
  actor       TEXT   NOT NULL,
  proposed_at BIGINT NOT NULL,
  expires_at  BIGINT NOT NULL,
  state       TEXT   NOT NULL CHECK (state IN ('open', 'approved', 'done', 'withdrawn')),
  decider     TEXT   NOT NULL,
  decided_at  BIGINT NOT NULL,
  PRIMARY KEY (proposal_id)
);
CREATE INDEX proposal_at ON proposal (proposed_at, proposal_id);

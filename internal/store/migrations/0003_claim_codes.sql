-- Claim codes: a keyed hash of each, never the code. A batch keeps the offer as
-- it was when the codes were made. A code's household is zeros until it is redeemed.

CREATE TABLE claim_batch (
  batch_id   BYTEA  NOT NULL CHECK (octet_length(batch_id) = 16),
  offer_id   TEXT   NOT NULL,
  content_id BYTEA  NOT NULL,
  kind       TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  words      TEXT   NOT NULL,
  terms      TEXT   NOT NULL,
  tiers      TEXT   NOT NULL,
  licenses   BIGINT NOT NULL CHECK (licenses > 0),
  codes      BIGINT NOT NULL CHECK (codes > 0),
  expires_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (batch_id)
);

CREATE TABLE claim_code (
  code_hash   BYTEA  NOT NULL CHECK (octet_length(code_hash) = 32),
  batch_id    BYTEA  NOT NULL CHECK (octet_length(batch_id) = 16),
  idx         BIGINT NOT NULL CHECK (idx >= 0),
  state       TEXT   NOT NULL CHECK (state IN ('open', 'redeemed', 'void')),
  expires_at  BIGINT NOT NULL,
  domain_id   BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  grant_id    BYTEA  NOT NULL CHECK (octet_length(grant_id) = 16),
  redeemed_at BIGINT NOT NULL,
  PRIMARY KEY (code_hash)
);
CREATE INDEX claim_code_batch ON claim_code (batch_id, idx);

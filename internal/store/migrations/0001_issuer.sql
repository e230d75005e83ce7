-- The issuer's tables. One text for SQLite and PostgreSQL: no sequences, no
-- triggers, no defaults, every column NOT NULL. The household is the first key
-- column of all that a request touches; "grant" is a reserved word.

CREATE TABLE domain (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  status     TEXT   NOT NULL CHECK (status IN ('active', 'closed')),
  created_at BIGINT NOT NULL,
  PRIMARY KEY (domain_id)
);

CREATE TABLE license_grant (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  grant_id   BYTEA  NOT NULL CHECK (octet_length(grant_id) = 16),
  content_id BYTEA  NOT NULL,
  kind       TEXT   NOT NULL CHECK (kind IN ('rental', 'purchase')),
  terms      TEXT   NOT NULL,
  code       BYTEA  NOT NULL,
  policy     BYTEA  NOT NULL,
  tiers      TEXT   NOT NULL,
  min_epoch  BIGINT NOT NULL CHECK (min_epoch >= 0),
  remaining  BIGINT NOT NULL CHECK (remaining >= 0),
  expires_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  revoked    BIGINT NOT NULL CHECK (revoked IN (0, 1)),
  PRIMARY KEY (domain_id, grant_id)
);
CREATE INDEX license_grant_content ON license_grant (domain_id, content_id);

CREATE TABLE license (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  license_id BYTEA  NOT NULL CHECK (octet_length(license_id) = 16),
  device_id  BYTEA  NOT NULL CHECK (octet_length(device_id) = 16),
  grant_id   BYTEA  NOT NULL,
  request_id BYTEA  NOT NULL,
  state      TEXT   NOT NULL CHECK (state IN ('issued', 'delivered', 'returned')),
  version    BIGINT NOT NULL,
  issued_at  BIGINT NOT NULL,
  digest     BYTEA  NOT NULL CHECK (octet_length(digest) = 32),
  PRIMARY KEY (domain_id, license_id)
);

CREATE TABLE transfer (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  tid        BYTEA  NOT NULL CHECK (octet_length(tid) = 48),
  license_id BYTEA  NOT NULL,
  peer       BYTEA  NOT NULL,
  state      TEXT   NOT NULL CHECK (state IN ('escrow', 'closed')),
  xfer_hash  BYTEA  NOT NULL CHECK (octet_length(xfer_hash) = 32),
  sealed     BYTEA  NOT NULL,
  PRIMARY KEY (domain_id, tid)
);
CREATE INDEX transfer_tid ON transfer (tid);

CREATE TABLE idem (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  request_id BYTEA  NOT NULL CHECK (octet_length(request_id) = 16),
  req_sha256 BYTEA  NOT NULL CHECK (octet_length(req_sha256) = 32),
  license_id BYTEA  NOT NULL,
  tid        BYTEA  NOT NULL,
  at         BIGINT NOT NULL,
  PRIMARY KEY (domain_id, request_id)
);

CREATE TABLE peer_seq (
  domain_id   BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  peer        BYTEA  NOT NULL CHECK (octet_length(peer) = 16),
  incarnation BYTEA  NOT NULL CHECK (octet_length(incarnation) = 8),
  seq         BIGINT NOT NULL CHECK (seq > 0),
  PRIMARY KEY (domain_id, peer, incarnation)
);

CREATE TABLE content (
  content_id    BYTEA  NOT NULL,
  digest        BYTEA  NOT NULL CHECK (octet_length(digest) = 32),
  registered_at BIGINT NOT NULL,
  PRIMARY KEY (content_id)
);

CREATE TABLE offer (
  offer_id   TEXT   NOT NULL,
  content_id BYTEA  NOT NULL,
  kind       TEXT   NOT NULL CHECK (kind IN ('rental', 'purchase')),
  terms      TEXT   NOT NULL,
  tiers      TEXT   NOT NULL,
  licenses   BIGINT NOT NULL CHECK (licenses > 0),
  PRIMARY KEY (offer_id)
);

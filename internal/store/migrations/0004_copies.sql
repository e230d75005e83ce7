-- Grants that are renewed, and the copies of a library: how many there are of a
-- title, who has one, who waits. What is over is forgotten: a row is a copy that
-- is out now, or a household that waits now.

CREATE TABLE license_grant_new (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  grant_id   BYTEA  NOT NULL CHECK (octet_length(grant_id) = 16),
  content_id BYTEA  NOT NULL,
  offer_id   TEXT   NOT NULL,
  kind       TEXT   NOT NULL CHECK (kind IN ('purchase', 'rental', 'subscription', 'loan', 'gift', 'coupon', 'preview')),
  terms      TEXT   NOT NULL,
  code       BYTEA  NOT NULL,
  policy     BYTEA  NOT NULL,
  tiers      TEXT   NOT NULL,
  min_epoch  BIGINT NOT NULL CHECK (min_epoch >= 0),
  remaining  BIGINT NOT NULL CHECK (remaining >= 0),
  expires_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  revoked    BIGINT NOT NULL CHECK (revoked IN (0, 1)),
  version    BIGINT NOT NULL CHECK (version > 0),
  issued_at  BIGINT NOT NULL,
  PRIMARY KEY (domain_id, grant_id)
);
INSERT INTO license_grant_new (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at)
SELECT domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, 1, created_at FROM license_grant;
DROP TABLE license_grant;
ALTER TABLE license_grant_new RENAME TO license_grant;
CREATE INDEX license_grant_content ON license_grant (domain_id, content_id);

CREATE TABLE stock (
  content_id BYTEA  NOT NULL,
  copies     BIGINT NOT NULL CHECK (copies >= 0),
  offer_id   TEXT   NOT NULL,
  period_ms  BIGINT NOT NULL CHECK (period_ms > 0),
  window_ms  BIGINT NOT NULL CHECK (window_ms > 0),
  turn       BIGINT NOT NULL CHECK (turn >= 0),
  PRIMARY KEY (content_id)
);

CREATE TABLE copy_loan (
  content_id BYTEA  NOT NULL,
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  grant_id   BYTEA  NOT NULL CHECK (octet_length(grant_id) = 16),
  from_at    BIGINT NOT NULL,
  until_at   BIGINT NOT NULL,
  PRIMARY KEY (content_id, domain_id)
);

CREATE TABLE copy_hold (
  content_id    BYTEA  NOT NULL,
  domain_id     BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  turn          BIGINT NOT NULL CHECK (turn > 0),
  placed_at     BIGINT NOT NULL,
  offered_until BIGINT NOT NULL,
  PRIMARY KEY (content_id, domain_id)
);

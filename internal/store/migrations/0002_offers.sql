-- Offers of every kind with what people read, and grants that say which offer
-- they came from. Tables are made anew: SQLite cannot change a CHECK.

CREATE TABLE offer_new (
  offer_id   TEXT   NOT NULL,
  content_id BYTEA  NOT NULL,
  kind       TEXT   NOT NULL CHECK (kind IN ('purchase', 'rental', 'subscription', 'loan', 'gift', 'coupon', 'preview')),
  name       TEXT   NOT NULL,
  words      TEXT   NOT NULL,
  terms      TEXT   NOT NULL,
  tiers      TEXT   NOT NULL,
  licenses   BIGINT NOT NULL CHECK (licenses > 0),
  PRIMARY KEY (offer_id)
);
INSERT INTO offer_new (offer_id, content_id, kind, name, words, terms, tiers, licenses)
SELECT offer_id, content_id, kind, offer_id, '', terms, tiers, licenses FROM offer;
DROP TABLE offer;
ALTER TABLE offer_new RENAME TO offer;

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
  PRIMARY KEY (domain_id, grant_id)
);
INSERT INTO license_grant_new (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked)
SELECT domain_id, grant_id, content_id, '', kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked FROM license_grant;
DROP TABLE license_grant;
ALTER TABLE license_grant_new RENAME TO license_grant;
CREATE INDEX license_grant_content ON license_grant (domain_id, content_id);

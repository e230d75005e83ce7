-- What becomes of a license after it was issued: a renewal on its way, which takes
-- the place of what is held when it arrives; an end before the end of its terms. And
-- the mark by which a module tells this database from an older copy of it.

CREATE TABLE renewal (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  license_id BYTEA  NOT NULL CHECK (octet_length(license_id) = 16),
  tid        BYTEA  NOT NULL CHECK (octet_length(tid) = 48),
  version    BIGINT NOT NULL CHECK (version > 1),
  issued_at  BIGINT NOT NULL,
  digest     BYTEA  NOT NULL CHECK (octet_length(digest) = 32),
  PRIMARY KEY (domain_id, license_id)
);

CREATE TABLE license_end (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  license_id BYTEA  NOT NULL CHECK (octet_length(license_id) = 16),
  how        TEXT   NOT NULL CHECK (how IN ('returned', 'revoked', 'replaced')),
  at         BIGINT NOT NULL,
  PRIMARY KEY (domain_id, license_id)
);

CREATE TABLE store_mark (
  device_id BYTEA NOT NULL CHECK (octet_length(device_id) = 16),
  mark      BYTEA NOT NULL CHECK (octet_length(mark) = 16),
  PRIMARY KEY (device_id)
);

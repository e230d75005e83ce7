-- Domains that this issuer manages (IEC TS 62579). The roll is signed by the issuer's
-- module, and its host keeps it. Beside it are the devices, with what others need to
-- give them something, where each is looked for, codes to join by, as keyed hashes, and
-- letters that wait.

CREATE TABLE domain_roll (
  domain_id   BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  roll        BYTEA  NOT NULL,
  version     BIGINT NOT NULL CHECK (version > 0),
  generation  BIGINT NOT NULL CHECK (generation > 0),
  max_devices BIGINT NOT NULL CHECK (max_devices BETWEEN 1 AND 64),
  new_a_year  BIGINT NOT NULL CHECK (new_a_year BETWEEN 0 AND 64),
  codes       BIGINT NOT NULL CHECK (codes >= 0),
  created_at  BIGINT NOT NULL,
  PRIMARY KEY (domain_id)
);

CREATE TABLE device (
  domain_id   BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  device_id   BYTEA  NOT NULL CHECK (octet_length(device_id) = 16),
  name        TEXT   NOT NULL,
  chain       BYTEA  NOT NULL,
  delivery    BYTEA  NOT NULL,
  enrolled_at BIGINT NOT NULL,
  PRIMARY KEY (domain_id, device_id)
);

CREATE TABLE device_home (
  device_id BYTEA NOT NULL CHECK (octet_length(device_id) = 16),
  domain_id BYTEA NOT NULL CHECK (octet_length(domain_id) = 16),
  PRIMARY KEY (device_id)
);

CREATE TABLE join_code (
  code_hash  BYTEA  NOT NULL CHECK (octet_length(code_hash) = 32),
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  expires_at BIGINT NOT NULL,
  idle       BIGINT NOT NULL CHECK (idle IN (0, 1)),
  PRIMARY KEY (code_hash)
);
CREATE INDEX join_code_domain ON join_code (domain_id);

CREATE TABLE letter (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  device_id  BYTEA  NOT NULL CHECK (octet_length(device_id) = 16),
  number     BIGINT NOT NULL CHECK (number > 0),
  source     BYTEA  NOT NULL CHECK (octet_length(source) = 16),
  topic      BYTEA  NOT NULL CHECK (octet_length(topic) = 16),
  at         BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  body       BYTEA  NOT NULL,
  PRIMARY KEY (domain_id, device_id, number)
);

CREATE TABLE audit_entry (
  seq     BIGINT NOT NULL CHECK (seq > 0),
  at      BIGINT NOT NULL,
  actor   TEXT   NOT NULL,
  action  TEXT   NOT NULL,
  subject TEXT   NOT NULL,
  prev    BYTEA  NOT NULL CHECK (octet_length(prev) = 32),
  PRIMARY KEY (seq)
);
CREATE TABLE audit_head (
  day    TEXT   NOT NULL,
  seq    BIGINT NOT NULL CHECK (seq > 0),
  signed BYTEA  NOT NULL,
  PRIMARY KEY (day)
);
CREATE TABLE audit_last (
  one  BIGINT NOT NULL CHECK (one = 1),
  seq  BIGINT NOT NULL CHECK (seq > 0),
  hash BYTEA  NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (one)
);
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
CREATE TABLE content (
  content_id    BYTEA  NOT NULL,
  digest        BYTEA  NOT NULL CHECK (octet_length(digest) = 32),
  registered_at BIGINT NOT NULL,
  PRIMARY KEY (content_id)
);
CREATE TABLE copy_hold (
  content_id    BYTEA  NOT NULL,
  domain_id     BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  turn          BIGINT NOT NULL CHECK (turn > 0),
  placed_at     BIGINT NOT NULL,
  offered_until BIGINT NOT NULL,
  PRIMARY KEY (content_id, domain_id)
);
CREATE TABLE copy_loan (
  content_id BYTEA  NOT NULL,
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  grant_id   BYTEA  NOT NULL CHECK (octet_length(grant_id) = 16),
  from_at    BIGINT NOT NULL,
  until_at   BIGINT NOT NULL,
  PRIMARY KEY (content_id, domain_id)
);
CREATE TABLE domain (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  status     TEXT   NOT NULL CHECK (status IN ('active', 'closed')),
  created_at BIGINT NOT NULL,
  PRIMARY KEY (domain_id)
);
CREATE TABLE idem (
  domain_id  BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  request_id BYTEA  NOT NULL CHECK (octet_length(request_id) = 16),
  req_sha256 BYTEA  NOT NULL CHECK (octet_length(req_sha256) = 32),
  license_id BYTEA  NOT NULL,
  tid        BYTEA  NOT NULL,
  at         BIGINT NOT NULL,
  PRIMARY KEY (domain_id, request_id)
);
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
CREATE TABLE "license_grant" (
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
CREATE TABLE "offer" (
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
CREATE TABLE peer_seq (
  domain_id   BYTEA  NOT NULL CHECK (octet_length(domain_id) = 16),
  peer        BYTEA  NOT NULL CHECK (octet_length(peer) = 16),
  incarnation BYTEA  NOT NULL CHECK (octet_length(incarnation) = 8),
  seq         BIGINT NOT NULL CHECK (seq > 0),
  PRIMARY KEY (domain_id, peer, incarnation)
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
CREATE TABLE schema_version (version BIGINT NOT NULL, PRIMARY KEY (version));
CREATE TABLE stock (
  content_id BYTEA  NOT NULL,
  copies     BIGINT NOT NULL CHECK (copies >= 0),
  offer_id   TEXT   NOT NULL,
  period_ms  BIGINT NOT NULL CHECK (period_ms > 0),
  window_ms  BIGINT NOT NULL CHECK (window_ms > 0),
  turn       BIGINT NOT NULL CHECK (turn >= 0),
  PRIMARY KEY (content_id)
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
CREATE INDEX audit_entry_at ON audit_entry (at);
CREATE INDEX claim_code_batch ON claim_code (batch_id, idx);
CREATE INDEX license_grant_content ON license_grant (domain_id, content_id);
CREATE INDEX proposal_at ON proposal (proposed_at, proposal_id);
CREATE INDEX transfer_tid ON transfer (tid);
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (1, 1795896505863, 'owner', 'content.add', '', X'0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (2, 1795896505876, 'owner', 'content.add', '', X'b15a3e2c2dcf63b21286732bdc41be50617f98bf2710024624869ab89593db5b');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (3, 1795896505895, 'owner', 'content.add', '', X'8d53cd585290e4dc42596d0649fb7d7f5ee291c16797734dc0ff4f54d48cce0f');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (4, 1795896505911, 'owner', 'content.add', '', X'c150dcab671bff2abb9d135968ff298855246c68eb937fe35305e8d87288800b');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (5, 1795896506213, 'owner', 'offer.put', 'gift', X'83ef1e07751a3f52d3666374b9ee1e8b263fb419e813be6b2205a1cce84eb21f');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (6, 1795896506223, 'owner', 'offer.put', 'night', X'80fb2617cbc4cffc699d621330d287574fde45a6e96df2e0efed97763fd45c0d');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (7, 1795896506239, 'owner', 'offer.put', 'loan', X'6038119a6c59173dcd7a6a9faf9e425dbb597ed443b5dd3ec685abbb03341618');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (8, 1795896506245, 'owner', 'copies.set', 'lares-film-shared', X'0e49cca136d2e74a98b7f7fd83ff11c25ce3970bbdac3c7d64ca7f75d5b898b7');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (9, 1795896506259, 'owner', 'copies.lend', 'd1c2a968b46f56b037b7b140e6234641/lares-film-shared', X'bb9924b39c1d20adac7c8f285f6279cf2c84b0e99e5c8c4fba77f541c3e44fa2');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (10, 1795896506280, 'owner', 'hold.add', '0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a/lares-film-shared', X'17ec490369f8b1a1edcf05d1bb2c34f0b784589292e7e919215ecdd9607aa308');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (11, 1795896506293, 'owner', 'grant.add', 'd1c2a968b46f56b037b7b140e6234641/061327f8000db31e58c92bb1f2e74702', X'4eb8b3a6820f6c017a0b94d7e01eb3a5b0fcb5e494e827ed3311e148897908bb');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (12, 1795896506302, 'owner', 'key.new', '396d006b83499235 support', X'bd698488c8cea3fbf1366ceff2506daf949401ed59a23c15b74d983167d58eba');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (13, 1795896506313, 'owner', 'grant.add', 'd1c2a968b46f56b037b7b140e6234641/e0ba588bef0a244d5bb3669d3ad5ec15', X'908e123e833cada6c9b5c2a12f2dcb8d5fe4826d47df6d7160e11ce2ca71f589');
INSERT INTO audit_entry (seq, at, actor, action, subject, prev) VALUES (14, 1795896506321, 'owner', 'claim.new', 'gift', X'162c62db27ec02dee604622d57a70ee2211b769257bca3312b02b33352024920');
INSERT INTO audit_last (one, seq, hash) VALUES (1, 14, X'f7f0da776d5f73da2b2791bdaf10a7fa73c1d2a7d8a5157197632f9d1ffb5235');
INSERT INTO claim_batch (batch_id, offer_id, content_id, kind, name, words, terms, tiers, licenses, codes, expires_at, created_at) VALUES (X'a03439e832529df421fb42a42ff4cdf9', 'gift', X'6c617265732d66696c6d', 'gift', 'A gift', '', 'PLAY; CHARGE=GIFT', '', 1, 2, 0, 1795896506321);
INSERT INTO claim_code (code_hash, batch_id, idx, state, expires_at, domain_id, grant_id, redeemed_at) VALUES (X'e1c5156934f202b8776b51fa31e2b7ac90e3268215088f9a13fa0c8f5fc4d5ea', X'a03439e832529df421fb42a42ff4cdf9', 0, 'redeemed', 0, X'd1c2a968b46f56b037b7b140e6234641', X'dfed58434ab1abc00ba66f68358580de', 1795896506565);
INSERT INTO claim_code (code_hash, batch_id, idx, state, expires_at, domain_id, grant_id, redeemed_at) VALUES (X'5014c56cae3e0ce26d4a4831115e61893f893f7a00ed40dc87b695ad161068b6', X'a03439e832529df421fb42a42ff4cdf9', 1, 'open', 0, X'00000000000000000000000000000000', X'00000000000000000000000000000000', 0);
INSERT INTO content (content_id, digest, registered_at) VALUES (X'6c617265732d66696c6d', X'1fedd62f75b9e6874676d8500ecb6efbddb8b27a1e65bf73bab8a21a651f0230', 1795896505866);
INSERT INTO content (content_id, digest, registered_at) VALUES (X'6c617265732d66696c6d2d63626373', X'787fbcf2e013d73d8210e5c9aebf4d9ccd00085deed7dc0a8be338d1a33d4df2', 1795896505879);
INSERT INTO content (content_id, digest, registered_at) VALUES (X'6c617265732d66696c6d2d72656e74616c', X'5f1e62cd4aa11dba3bc887daf5bb41d55015953ca9f5d219f2177a0436b38c36', 1795896505896);
INSERT INTO content (content_id, digest, registered_at) VALUES (X'6c617265732d66696c6d2d736861726564', X'c44b9603074cd6a8f2f137698fac2eab8b499e8657963b5f6c7cf2f278fa2ef0', 1795896505912);
INSERT INTO copy_hold (content_id, domain_id, turn, placed_at, offered_until) VALUES (X'6c617265732d66696c6d2d736861726564', X'0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a', 2, 1795896506280, 0);
INSERT INTO copy_loan (content_id, domain_id, grant_id, from_at, until_at) VALUES (X'6c617265732d66696c6d2d736861726564', X'd1c2a968b46f56b037b7b140e6234641', X'143275e399fa5398870dc1783208c4c1', 1795896506260, 1797710907000);
INSERT INTO domain (domain_id, status, created_at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', 'active', 1795896506260);
INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'509404b92f3f428d1e40e9c1abb3d1f4', X'55c0214b5e2d3d04453c02964694a2afe786e9ff02cc4982e0a0c51282a2755c', X'4724ed9cc4bf003fc1117db2d7b4bfb1', X'9c4a46972dd2a1c9333e3be160a2b55e7abb39cb8f1f950512728ef92d09daf721e04dbf5b0544a50000000000000001', 1795896506337);
INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'70c9f272a2d323993aa44a034c0ff743', X'b164721351712a16c9ee916f205e21bc4643d7d03af038337b0fcaddf68103a8', X'342d0ba02803e7cb4b278e9f43f27dc4', X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000', 1795896506460);
INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'c37b4ab76d5b875f5042ef92134cdc46', X'895493828eafbfe9d7da17dcb5e7e2204f9b1b0a9fb57581904ad6710504be69', X'db72e2073db4d5ccdf76bae3fc50d492', X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000', 1795896506572);
INSERT INTO license (domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'4724ed9cc4bf003fc1117db2d7b4bfb1', X'7abb39cb8f1f950512728ef92d09daf7', X'e0ba588bef0a244d5bb3669d3ad5ec15', X'509404b92f3f428d1e40e9c1abb3d1f4', 'delivered', 1, 1795896506337, X'69f304dbf21ba7f52964ff506f83b95b7308c27297906bf05550978cea618c53');
INSERT INTO license (domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'342d0ba02803e7cb4b278e9f43f27dc4', X'7abb39cb8f1f950512728ef92d09daf7', X'143275e399fa5398870dc1783208c4c1', X'70c9f272a2d323993aa44a034c0ff743', 'issued', 1, 1795896506260, X'9d397b352113b52d98bce22919bc5ce1497b79552b931171bd5039db44c46637');
INSERT INTO license (domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'db72e2073db4d5ccdf76bae3fc50d492', X'7abb39cb8f1f950512728ef92d09daf7', X'dfed58434ab1abc00ba66f68358580de', X'c37b4ab76d5b875f5042ef92134cdc46', 'issued', 1, 1795896506566, X'6917ab9cac8929826b4753c29895882da479719f5a3bac38387f9498c0ece061');
INSERT INTO license_grant (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'143275e399fa5398870dc1783208c4c1', X'6c617265732d66696c6d2d736861726564', 'loan', 'loan', 'PLAY; END_TIME=2026-12-19T20:08:27Z; CHARGE=LOAN; EXPIRY_MODE=stop', X'0100010102030301041008020601a28feb8678', X'a10902', '', 1, 0, 1797710907000, 1795896506260, 0, 1, 1795896506260);
INSERT INTO license_grant (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'061327f8000db31e58c92bb1f2e74702', X'6c617265732d66696c6d2d63626373', '', 'purchase', 'PLAY', X'010001011000', X'82a083011b0000000eaf62580058410499e561fbb6f721b5224d011055052df4cbe14110f43814b9d437091c3e0e8484b5b22bff69b5786d2449d15833f16f2874afc5f238fec88af94d977200546722', '', 1, 1, 0, 1795896506294, 0, 1, 1795896506294);
INSERT INTO license_grant (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'e0ba588bef0a244d5bb3669d3ad5ec15', X'6c617265732d66696c6d2d72656e74616c', 'night', 'rental', 'PLAY; INTERVAL=48h; PLAY_COUNT=2; CHARGE=RENTAL; MIN_ANCHOR=0', X'010001010203030102100903040a4cb800040102', X'a1181900', '', 1, 0, 0, 1795896506314, 0, 1, 1795896506314);
INSERT INTO license_grant (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'dfed58434ab1abc00ba66f68358580de', X'6c617265732d66696c6d', 'gift', 'gift', 'PLAY; CHARGE=GIFT', X'0100010102030301081000', X'82a083011b0000000eaf62580058410499e561fbb6f721b5224d011055052df4cbe14110f43814b9d437091c3e0e8484b5b22bff69b5786d2449d15833f16f2874afc5f238fec88af94d977200546722', '', 1, 0, 0, 1795896506566, 0, 1, 1795896506566);
INSERT INTO offer (offer_id, content_id, kind, name, words, terms, tiers, licenses) VALUES ('gift', X'6c617265732d66696c6d', 'gift', 'A gift', '', 'PLAY; CHARGE=GIFT', '', 1);
INSERT INTO offer (offer_id, content_id, kind, name, words, terms, tiers, licenses) VALUES ('night', X'6c617265732d66696c6d2d72656e74616c', 'rental', 'night', '', 'PLAY; INTERVAL=48h; PLAY_COUNT=2; CHARGE=RENTAL; MIN_ANCHOR=0', '', 1);
INSERT INTO offer (offer_id, content_id, kind, name, words, terms, tiers, licenses) VALUES ('loan', X'6c617265732d66696c6d2d736861726564', 'loan', 'loan', '', 'PLAY; CHARGE=LOAN', '', 1);
INSERT INTO operator_key (key_id, hash, name, role, scopes, created_at, expires_at, revoked_at) VALUES (X'396d006b83499235', X'0f567475d69d59e1e444408e5eb360053e393bff5dd418df1dacc2c5564f3e3e', 'desk', 'support', 'read,help', 1795896506302, 1803672506302, 0);
INSERT INTO peer_seq (domain_id, peer, incarnation, seq) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'7abb39cb8f1f950512728ef92d09daf7', X'21e04dbf5b0544a5', 1);
INSERT INTO schema_version (version) VALUES (1);
INSERT INTO schema_version (version) VALUES (2);
INSERT INTO schema_version (version) VALUES (3);
INSERT INTO schema_version (version) VALUES (4);
INSERT INTO schema_version (version) VALUES (5);
INSERT INTO schema_version (version) VALUES (6);
INSERT INTO stock (content_id, copies, offer_id, period_ms, window_ms, turn) VALUES (X'6c617265732d66696c6d2d736861726564', 1, 'loan', 1814400000, 259200000, 2);
INSERT INTO transfer (domain_id, tid, license_id, peer, state, xfer_hash, sealed) VALUES (X'd1c2a968b46f56b037b7b140e6234641', X'9c4a46972dd2a1c9333e3be160a2b55e7abb39cb8f1f950512728ef92d09daf721e04dbf5b0544a50000000000000001', X'4724ed9cc4bf003fc1117db2d7b4bfb1', X'7abb39cb8f1f950512728ef92d09daf7', 'closed', X'f4e776a056bf0bd18f500120f2c02a098fde3537259d69669f33757ea992291a', X'');

-- A transfer whose household nobody names is found by its peer, which has one row for
-- all of its transfers, and not by an index with a row for each of them.

DROP INDEX transfer_tid;
CREATE INDEX peer_seq_peer ON peer_seq (peer);

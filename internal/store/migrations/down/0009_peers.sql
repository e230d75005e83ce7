-- Before it transfers had an index by their IDs.

DROP INDEX peer_seq_peer;
CREATE INDEX transfer_tid ON transfer (tid);

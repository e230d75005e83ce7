-- Before it there was the owner's token only. Who is signed in signs in again.
-- gone: API keys: operator_key
-- gone: revocations that were proposed: proposal

DROP TABLE proposal;
DROP TABLE operator_session;
DROP TABLE operator_key;

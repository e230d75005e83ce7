-- Before it there were no claim codes. What was granted for one stays.
-- gone: claim codes: claim_code

DROP TABLE claim_code;
DROP TABLE claim_batch;

-- Before it no license ended early, and nothing that counts was renewed.
-- gone: renewals on their way: renewal
-- gone: licenses that ended before their terms: license_end

DELETE FROM idem WHERE EXISTS (SELECT 1 FROM renewal r WHERE r.domain_id = idem.domain_id AND r.tid = idem.tid);
DELETE FROM transfer WHERE EXISTS (SELECT 1 FROM renewal r WHERE r.domain_id = transfer.domain_id AND r.tid = transfer.tid);
DROP TABLE renewal;
DROP TABLE license_end;
DROP TABLE store_mark;

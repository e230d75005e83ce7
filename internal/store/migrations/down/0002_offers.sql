-- Before it there were rentals and purchases only, and offers had no name. Of what
-- was granted in another way nothing may point to nothing.
-- gone: offers of other kinds than rental and purchase: offer WHERE kind NOT IN ('purchase', 'rental')
-- gone: grants of other kinds than rental and purchase: license_grant WHERE kind NOT IN ('purchase', 'rental')
-- gone: names and words of offers: offer WHERE kind IN ('purchase', 'rental') AND (name <> offer_id OR words <> '')

DELETE FROM offer WHERE kind NOT IN ('purchase', 'rental');
DELETE FROM license_grant WHERE kind NOT IN ('purchase', 'rental');
DELETE FROM license WHERE NOT EXISTS (SELECT 1 FROM license_grant g WHERE g.domain_id = license.domain_id AND g.grant_id = license.grant_id);
DELETE FROM transfer WHERE NOT EXISTS (SELECT 1 FROM license l WHERE l.domain_id = transfer.domain_id AND l.license_id = transfer.license_id);
DELETE FROM idem WHERE NOT EXISTS (SELECT 1 FROM license l WHERE l.domain_id = idem.domain_id AND l.license_id = idem.license_id);
ALTER TABLE offer DROP COLUMN words;
ALTER TABLE offer DROP COLUMN name;
ALTER TABLE license_grant DROP COLUMN offer_id;

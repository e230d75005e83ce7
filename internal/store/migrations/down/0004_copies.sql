-- Before it no grant was renewed, and a title had no number of copies.
-- gone: grants that were renewed: license_grant WHERE version > 1
-- gone: titles with a number of copies: stock
-- gone: copies that are lent: copy_loan
-- gone: households that wait for a copy: copy_hold

DROP TABLE copy_hold;
DROP TABLE copy_loan;
DROP TABLE stock;
ALTER TABLE license_grant DROP COLUMN issued_at;
ALTER TABLE license_grant DROP COLUMN version;

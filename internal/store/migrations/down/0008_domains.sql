-- Before it no issuer managed a domain. Licenses that its devices have stay.
-- gone: domains that this issuer manages: domain_roll
-- gone: their devices: device
-- gone: letters that wait for them: letter

DROP TABLE letter;
DROP TABLE join_code;
DROP TABLE device_home;
DROP TABLE device;
DROP TABLE domain_roll;

-- Before it no issuer managed domains. A module that has signed a roll finds none.
-- gone: domains that this issuer manages: domain_roll
-- gone: their devices: device
-- gone: letters that wait: letter

DROP TABLE letter;
DROP TABLE join_code;
DROP TABLE device_home;
DROP TABLE device;
DROP TABLE domain_roll;

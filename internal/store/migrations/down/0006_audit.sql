-- Before it nobody wrote down what operators did.
-- gone: entries of the operators' log: audit_entry

DROP TABLE audit_head;
DROP TABLE audit_last;
DROP TABLE audit_entry;

package license

// KnownPolicy reports whether a policy key has a field.
func KnownPolicy(k uint64) bool { return knownPolicy(k) }

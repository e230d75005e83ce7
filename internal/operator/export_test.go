package operator

// ParseKey is the ID of a token.
func ParseKey(token string) (KeyID, error) {
	id, _, err := parseKey(token)
	return id, err
}

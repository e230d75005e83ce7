package trem

// Waiting is how many commands wait to be written with others.
func (c *Client) Waiting() int {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.held
}

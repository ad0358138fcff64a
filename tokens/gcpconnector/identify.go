package gcpconnector

import (
	"context"

	"dbvalet/tokens"
)

var _ tokens.Identifier = (*Connector)(nil)

// Identify says as whom the connector asks.
func (c *Connector) Identify(ctx context.Context) (tokens.Identity, error) {
	who, err := c.login.Identify(ctx)
	if err != nil {
		err = c.ours(err)
	}
	return who, err
}

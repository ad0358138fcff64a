package servers

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Exec runs a statement as the superuser in the server's Database.
func (p *Postgres) Exec(ctx context.Context, sql string, args ...any) error {
	conn, err := p.Superuser(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// Superuser logs in as the superuser, directly and not through a proxy. The caller closes the
// connection.
func (p *Postgres) Superuser(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s user=%s password=%s sslmode=disable",
		p.Host, p.Port, p.Database, superuser, p.SuperuserPassword))
	if err != nil {
		return nil, err
	}
	if !p.options.NoTLS {
		config.TLSConfig = p.pinnedTLS()
	}
	return pgx.ConnectConfig(ctx, config)
}

// pinnedTLS accepts exactly the certificate that the server was started with, even if it is one that
// nobody should accept, as tests want it to be.
func (p *Postgres) pinnedTLS() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, //nolint:forbidigo // VerifyConnection below is stricter.
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, p.certificate) {
				return errors.New("the server shows another certificate than it was given")
			}
			return nil
		},
	}
}

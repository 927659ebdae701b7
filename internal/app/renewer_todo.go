package app

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/renew"
	"github.com/notafter/notafter/internal/renew/dnswriter"
)

func (b *builder) rfc2136(r *config.RFC2136, ttl time.Duration) (func() renew.DNS, renew.Asker, error) {
	server := r.Server
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53")
	}
	w, err := dnswriter.NewRFC2136(dnswriter.RFC2136Options{
		Servers: []string{server}, Zone: r.Zone, KeyName: r.Key, Algorithm: string(r.Algorithm), Secret: r.Secret.Value(), TTL: uint32(ttl / time.Second), Now: b.now,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("rfc2136: %w", err)
	}
	return func() renew.DNS { return w }, nil, nil
}

func (b *builder) lego(*config.Lego) (func() renew.DNS, renew.Asker, error) {
	return nil, nil, errors.New("lego")
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/renew/dnswriter/legochild"
)

// dnsWriter is what a child process of notafter runs: one that holds the credentials of one DNS provider and nothing
// else. It is not meant for people.
func (p *program) dnsWriter() *cobra.Command {
	return &cobra.Command{
		Use:    "dns-writer",
		Short:  "Write challenge records, in a child process of notafter",
		Hidden: true,
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			if code := legochild.Main(p.stdin, p.stdout); code != 0 {
				return status{code: code}
			}
			return nil
		},
	}
}

package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/renew"
)

// PlaceNotes looks, as the user that this process runs as, whether certificates could be put where the configuration
// says, and has a remark for each place where they could not. Nothing is touched, and no secret is needed. They are no
// problems of the configuration: the place may come, or be open to the user that serves.
func PlaceNotes(c *config.Config) []config.Problem {
	b := &builder{c: c, now: time.Now}
	var notes []error
	seen := map[string]bool{}
	look := func(key, certificate string, list []config.Install) {
		for i, in := range list {
			at := fmt.Sprintf("%s[%d]", key, i)
			if in.Webhook != nil || in.Kubernetes != nil || seen[at] {
				continue
			}
			if in.PKCS12Password.Value() == "" {
				in.PKCS12Password = config.NewSecret("of no use")
			}
			f, err := b.files(in, nil)
			if err != nil {
				continue // a problem, which Check tells
			}
			r, ok := f.(renew.Readier)
			if !ok {
				continue
			}
			if _, err := r.Ready(certificate); err != nil {
				seen[at] = true
				notes = append(notes, fmt.Errorf("%s: %s; while that is so for the user that notafter runs as, no certificate can be installed there",
					at, assure.TroubleOf(err, assure.InstallFailed).Detail))
			}
		}
	}
	for i := range c.Certificates {
		cert := &c.Certificates[i]
		declared, ok := c.RenewerOf(cert)
		if !ok {
			continue
		}
		if len(cert.Install) > 0 {
			look(fmt.Sprintf("certificates[%d].install", i), cert.Name, cert.Install)
		} else {
			look("renewers."+cert.Renewer+".install", cert.Name, declared.Install)
		}
		look("renewers."+cert.Renewer+".rehearse.shadow", cert.Name, declared.Rehearse.Shadow)
	}
	var problems *config.Problems
	if !errors.As(c.Refuse(errors.Join(notes...)), &problems) {
		return nil
	}
	return problems.List
}

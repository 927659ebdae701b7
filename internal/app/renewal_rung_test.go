package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/estate"
)

// A rung that is climbed daily and met the lost grant does not hold the incident open for hours once a renewal has proven
// the repair.
func TestARareRungDoesNotHoldALostGrantOpen(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: 3 * time.Second, authorization: time.Hour, due: 0.6}, "shop."+estate.AzureZone, "www."+estate.AzureZone)
	p, _ := startUntil(t, r.config, "")
	until(t, 3*time.Minute, "every rung climbed", func() bool { return p.climbed("shop") && p.climbed("www") })
	r.Revoke()
	for _, c := range []string{"shop", "www"} {
		if err := p.app.Rehearse(t.Context(), c, "the test", []assure.AttemptKind{assure.RehearseAuthorize}); err != nil {
			t.Fatal(err)
		}
	}
	open := func() bool {
		for _, i := range p.incidents() {
			if strings.HasPrefix(i.Cause, "grant/") && i.State != "resolved" {
				return true
			}
		}
		return false
	}
	until(t, 3*time.Minute, "incident, and every rehearsed order failed", func() bool {
		return open() && p.rung("shop", "authorization") == "failed" && p.rung("www", "authorization") == "failed"
	})
	r.Grant()
	defer func() {
		if t.Failed() {
			for _, c := range []string{"shop", "www"} {
				t.Logf("%s: %s", c, p.text("/api/v1/certificates/"+c+"/renewal?limit=3"))
			}
		}
	}()
	until(t, 2*time.Minute, "proof", func() bool { return !open() })
}

func (p *product) rung(certificate, rung string) string {
	var v struct {
		Ladder []struct{ Rung, Outcome string }
	}
	p.get("/api/v1/certificates/"+certificate+"/renewal", &v)
	for _, l := range v.Ladder {
		if l.Rung == rung {
			return l.Outcome
		}
	}
	return ""
}

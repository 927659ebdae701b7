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
	r := settle(t, pace{life: 10 * time.Minute, canary: 3 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone, "www."+estate.AzureZone)
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
			p.recount(t, "shop", "www")
		}
	}()
	until(t, 2*time.Minute, "proof", func() bool { return !open() })
}

// recount logs what a test that failed was about, short enough to be read: the open incidents, and of the attempts those
// that did not work and the renewals.
func (p *product) recount(t *testing.T, certificates ...string) {
	t.Helper()
	for _, c := range certificates {
		var v struct {
			Attempts []struct {
				ID                int64
				Kind, By, Outcome string
				Started, Ended    time.Time
				Steps             []struct{ Name, Target, Outcome, Detail string }
			}
		}
		p.get("/api/v1/certificates/"+c+"/renewal?limit=500", &v)
		for _, a := range v.Attempts {
			if a.Outcome == string(assure.Done) && a.Kind != string(assure.AttemptRenewal) {
				continue
			}
			t.Logf("%s: %s by %s %s to %s: %s", c, a.Kind, a.By, a.Started.Format("04:05.000"), a.Ended.Format("04:05.000"), a.Outcome)
			for _, s := range a.Steps {
				if s.Outcome != string(assure.Done) {
					t.Logf("    %s %s: %s: %.300s", s.Name, s.Target, s.Outcome, s.Detail)
				}
			}
		}
	}
	for _, i := range p.incidents() {
		if i.State != "resolved" {
			t.Logf("incident: %.3000s", p.text("/api/v1/incidents/"+i.ID))
		}
	}
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

package renew

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// attempt is one renewal or rehearsal while it is made. Its steps may come from several goroutines.
type attempt struct {
	k   *Keeper
	ctx context.Context // for the books; outlives the end of the attempt's own
	mu  sync.Mutex
	a   assure.Attempt
}

// begin writes an attempt down before anything is done.
func (k *Keeper) begin(ctx context.Context, j *Job, kind assure.AttemptKind, by string) (*attempt, error) {
	at := &attempt{k: k, ctx: context.WithoutCancel(ctx), a: assure.Attempt{
		Certificate: j.Certificate, Kind: kind, By: by, Started: k.o.Now().UTC(), Steps: []assure.Step{},
	}}
	id, err := k.o.Ledger.PutAttempt(ctx, at.a)
	if err != nil {
		return nil, fmt.Errorf("write down that %s begins: %w", kind, err)
	}
	at.a.ID = id
	k.o.Progress(at.copy())
	return at, nil
}

func (at *attempt) copy() assure.Attempt {
	a := at.a
	a.Steps = slices.Clone(a.Steps)
	return a
}

// step adds one. Of a rehearsal, what was not to be seen did not fail: nothing is known of it. That it cannot be written down now is no reason to stop: the whole attempt is written at its end.
func (at *attempt) step(s assure.Step) {
	at.mu.Lock()
	defer at.mu.Unlock()
	if s.Outcome == assure.Failed && s.Trouble.Blind() && at.a.Kind != assure.AttemptRenewal {
		s.Outcome = assure.Unclear
	}
	at.a.Steps = append(at.a.Steps, s)
	_ = at.put()
	at.k.o.Progress(at.copy())
}

func (at *attempt) put() error {
	ctx, cancel := context.WithTimeout(at.ctx, 5*time.Second)
	defer cancel()
	_, err := at.k.o.Ledger.PutAttempt(ctx, at.a)
	if err != nil {
		at.k.log.Warn("write down the steps of an attempt", "certificate", at.a.Certificate, "error", err)
	}
	return err
}

// did makes a step of something that is done now.
func (at *attempt) did(name, target string, do func() (detail string, err error)) error {
	began := at.k.o.Now()
	detail, err := do()
	at.step(newStep(name, target, detail, began, at.k.o.Now(), err))
	return err
}

func newStep(name, target, detail string, began, ended time.Time, err error) assure.Step {
	s := assure.Step{Name: name, Target: clip(target), Outcome: assure.Done, Detail: detail, At: began.UTC(), Took: ended.Sub(began)}
	if err != nil {
		s.Trouble = assure.TroubleOf(err, assure.RehearsalFailed)
		s.Outcome, s.Detail = assure.Failed, s.Trouble.Detail
	}
	return s
}

// end says how it went, and keeps it.
func (at *attempt) end(o assure.Outcome, fingerprint string) (assure.Attempt, error) {
	at.mu.Lock()
	defer at.mu.Unlock()
	at.a.Ended, at.a.Outcome, at.a.Fingerprint = at.k.o.Now().UTC(), o, fingerprint
	err := at.put()
	at.k.o.Progress(at.copy())
	return at.copy(), err
}

// outcome is the worst of its steps. What fails in a way that may pass says nothing beside a blindness.
func (at *attempt) outcome() assure.Outcome {
	at.mu.Lock()
	defer at.mu.Unlock()
	o := assure.Done
	for _, s := range at.a.Steps {
		switch s.Outcome {
		case assure.Failed:
			if at.a.Kind != assure.AttemptRenewal && at.a.Blind() != nil {
				return assure.Unclear
			}
			return assure.Failed
		case assure.Unclear:
			o = assure.Unclear
		}
	}
	return o
}

// solvers are the ways in which the job's names are proven.
func (k *Keeper) solvers(j *Job, purpose string) ([]Solver, error) {
	switch j.Challenge {
	case ChallengeDNSPersist01:
		return []Solver{PersistSolver{Zones: j.Zones}}, nil
	case ChallengeHTTP01, ChallengeTLSALPN01:
		if j.Responder == nil {
			return nil, fmt.Errorf("nothing answers the challenge %s", j.Challenge)
		}
		if j.Challenge == ChallengeHTTP01 {
			return []Solver{j.Responder.HTTP()}, nil
		}
		return []Solver{j.Responder.TLS()}, nil
	}
	s, err := k.dnsSolver(j, purpose)
	if err != nil {
		return nil, err
	}
	return []Solver{s}, nil
}

func (k *Keeper) dnsSolver(j *Job, purpose string) (*DNSSolver, error) {
	if j.Writer == nil {
		return nil, fmt.Errorf("nothing writes DNS for the renewer %s", j.Renewer)
	}
	return NewDNSSolver(DNSOptions{
		Challenge: j.Challenge, DNS: j.Writer(), Zones: j.Zones, Journal: k.o.Ledger, Renewer: j.Renewer, Purpose: purpose,
		Life: k.o.Lease, Timeout: j.Patience, TTL: j.TTL, Recent: &k.recent, Now: k.o.Now, Logger: k.log,
	})
}

// parseLeaf reads the first certificate of a chain in PEM form.
func parseLeaf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil, errors.New("the chain holds no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// describeCert is a certificate in the words of evidence.
func describeCert(c *x509.Certificate) assure.Cert {
	out := assure.Cert{
		Fingerprint: fingerprint(c), Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: strings.TrimLeft(c.SerialNumber.Text(16), "0"),
		Names: slices.Clone(c.DNSNames), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Key: keyWords(c), Signature: c.SignatureAlgorithm.String(),
	}
	for _, ip := range c.IPAddresses {
		out.Names = append(out.Names, ip.String())
	}
	return out
}

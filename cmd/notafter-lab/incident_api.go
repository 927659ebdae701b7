package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// incidentDoc is what the API says of an incident, as far as the story needs it.
type incidentDoc struct {
	ID, State, Reason, Cause, Summary, Resolution string
	ResolvedAt                                    time.Time `json:"resolved_at"`
}

type touchDoc struct {
	Certificate, Subject string
	Finding              struct{ Reason, Summary string }
}

// open lists the incidents about the grant that are not resolved.
func (s *second) open(ctx context.Context) ([]incidentDoc, error) {
	var v struct{ Incidents []incidentDoc }
	err := s.get(ctx, "/api/v1/incidents", &v)
	return slices.DeleteFunc(v.Incidents, func(i incidentDoc) bool { return i.State == "resolved" || !strings.HasPrefix(i.Cause, "grant/") }), err
}

func (s *second) get(ctx context.Context, path string, into any) error {
	return s.call(ctx, http.MethodGet, path, nil, into)
}

func (s *second) post(ctx context.Context, path string, body, into any) error {
	return s.call(ctx, http.MethodPost, path, body, into)
}

// call asks the product's API, as a user's script would.
func (s *second) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, clip(string(answer), 300))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// until waits for something that must come within a minute.
func (s *second) until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		switch done, err := ok(); {
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// roots are what clients trust.
func (s *second) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.estate.Roots)
	return pool
}

package renew

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/assure"
)

// How often a CA is asked about a window: RFC 9773 section 4.3.2 lets clients take less than a minute for a minute and
// more than a day for a day; section 4.3.3 asks for 6 hours where the CA says nothing.
const (
	askSoonest = time.Minute
	askLatest  = 24 * time.Hour
	askUsually = 6 * time.Hour
)

// Window asks the CA when the certificate should be renewed (RFC 9773). A CA that makes no suggestions gives zero times
// for start and end without an error, and so does one that does not know the certificate. askAgain is always set.
// explanation is an address for people, often empty. An error means that the CA should have said and did not.
func (c *CA) Window(ctx context.Context, leaf *x509.Certificate) (start, end, askAgain time.Time, explanation string, err error) {
	again := func(d time.Duration) time.Time { return c.o.Now().Add(d).UTC() }
	dir, err := c.directory(ctx, directoryAge)
	if err != nil {
		return start, end, again(askUsually), "", err
	}
	if dir.RenewalInfo == "" {
		return start, end, again(askLatest), "", nil
	}
	id, err := acme.ARIUniqueIdentifier(leaf)
	if err != nil || len(leaf.AuthorityKeyId) == 0 {
		return start, end, again(askLatest), "", nil // not a certificate that a CA could know by this
	}
	hctx, h := hear(ctx)
	raw, err := c.get(hctx, dir.RenewalInfo+"/"+id)
	status, pause := h.last()
	if pause <= 0 {
		pause = askUsually
	}
	askAgain = again(min(max(pause, askSoonest), askLatest))
	var p acme.Problem
	if status == 404 || errors.As(err, &p) && p.Type == acme.ProblemTypeMalformed {
		return start, end, askAgain, "", nil // not a certificate of this CA
	}
	if err == nil {
		start, end, explanation, err = parseWindow(raw)
	}
	if err != nil {
		var syntax errWindow
		if errors.As(err, &syntax) {
			err = &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: c.o.Directory, Detail: syntax.Error()}
		}
		return time.Time{}, time.Time{}, askAgain, "", c.trouble(err, h, "ask "+c.String()+" when to renew")
	}
	return start, end, askAgain, explanation, nil
}

type errWindow string

func (e errWindow) Error() string { return string(e) }

// parseWindow reads renewal information (RFC 9773 section 4.2). A window that ends before it begins is an error.
func parseWindow(raw []byte) (start, end time.Time, explanation string, err error) {
	var doc struct {
		SuggestedWindow struct {
			Start time.Time `json:"start"`
			End   time.Time `json:"end"`
		} `json:"suggestedWindow"`
		ExplanationURL string `json:"explanationURL"`
	}
	if json.Unmarshal(raw, &doc) != nil {
		return start, end, "", errWindow("the renewal information is not the JSON that RFC 9773 section 4.2 describes")
	}
	start, end = doc.SuggestedWindow.Start.UTC(), doc.SuggestedWindow.End.UTC()
	if start.IsZero() || !end.After(start) {
		return time.Time{}, time.Time{}, "", errWindow("the renewal information suggests a window that does not end after its beginning")
	}
	if u, err := url.Parse(doc.ExplanationURL); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
		explanation = clip(doc.ExplanationURL)
	}
	return start, end, explanation, nil
}

package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Renewals answers what is known of the certificates that notafter renews itself. Safe for concurrent use.
type Renewals interface {
	// Attempts returns the newest renewals and rehearsals of a certificate, the one that began last first.
	Attempts(ctx context.Context, certificate string, limit int) ([]assure.Attempt, error)
	// Renewals returns the states of the given certificates that are known, in no order.
	Renewals(ctx context.Context, certificates []string) ([]assure.RenewalState, error)
	// Climbed says when each rung of the rehearsals of certificates was last climbed with success.
	Climbed(ctx context.Context, certificates []string) (map[string]map[assure.AttemptKind]time.Time, error)
}

// Renewer carries out what a person asks for. Renew and Rehearse return at once and the work goes on; what comes of it is
// among the attempts. The error wraps [assure.ErrNotFound] for a certificate or a renewer that is not here.
type Renewer interface {
	// Renew renews the certificate when it is due, or in any case with force.
	Renew(ctx context.Context, certificate, who string, force bool) error
	// Rehearse climbs the given rungs, those that are configured when none is given.
	Rehearse(ctx context.Context, certificate, who string, kinds []assure.AttemptKind) error
	// RollOver gives the account of a renewer at its authority a new key; Register registers it again, at an authority
	// that has forgotten it. Both wait for the authority. An error that is or wraps an [*assure.Trouble] is told.
	RollOver(ctx context.Context, renewer string) error
	Register(ctx context.Context, renewer string) error
}

// attemptsRead is how many attempts are read to show a certificate: the store keeps twenty of each of the six kinds.
const attemptsRead = 120

// errNotRenewed says that a certificate exists and is not renewed here.
var errNotRenewed = fmt.Errorf("notafter does not renew it itself: %w", assure.ErrNotFound)

// standing is all that is known of the renewal of one certificate.
type standing struct {
	State    assure.RenewalState
	Known    bool               // there is a state
	Claims   []assure.ClaimView // those of the rungs, the renewal and the issuance
	Attempts []assure.Attempt   // the newest first
}

// renewsItself reports whether claims are those of a certificate that notafter renews itself.
func renewsItself(claims []assure.ClaimView) bool {
	return slices.ContainsFunc(claims, func(c assure.ClaimView) bool {
		return c.Claim.Link == assure.Renewal && c.Claim.Subject == assure.SubjectRenewal
	})
}

// ofRenewal reports whether the claim is about a certificate's own renewal.
func ofRenewal(c assure.Claim) bool {
	return c.Certificate != "" && (c.Subject == assure.SubjectRenewal || c.Subject == assure.SubjectIssuance || c.Subject == assure.SubjectGrants || assure.AttemptKind(c.Subject).Level() >= 0) &&
		(c.Link == assure.Permission || c.Link == assure.Renewal || c.Link == assure.Issuance)
}

// standing reads what is known of the renewal of a certificate with the given claims; nil when it is not renewed here.
func (s *Server) standing(ctx context.Context, name string, claims []assure.ClaimView, limit int) (*standing, error) {
	if s.opts.Renewals == nil || !renewsItself(claims) {
		return nil, nil
	}
	var st standing
	states, err := s.opts.Renewals.Renewals(ctx, []string{name})
	if err != nil {
		return nil, fmt.Errorf("read the renewal of %q: %w", name, err)
	}
	for _, r := range states {
		if r.Certificate == name {
			st.State, st.Known = r, true
		}
	}
	if st.Attempts, err = s.opts.Renewals.Attempts(ctx, name, limit); err != nil {
		return nil, fmt.Errorf("read the attempts of %q: %w", name, err)
	}
	for _, c := range claims {
		if !ofRenewal(c.Claim) {
			continue
		}
		st.Claims = append(st.Claims, c)
		if st.Known || c.Evidence == nil {
			continue
		}
		if f, ok := c.Evidence.Fact.(assure.Renewing); ok {
			st.State, st.Known = f.State, true
		}
	}
	return &st, nil
}

// findStanding is standing for a certificate by its name.
func (s *Server) findStanding(ctx context.Context, name string, limit int) (*standing, error) {
	// The claims about a renewal are eight at most, and come before those about serving.
	c, err := s.opts.Reader.Certificate(ctx, name, claimsShown, 0)
	if err != nil {
		return nil, fmt.Errorf("read certificate %q: %w", name, err)
	}
	st, err := s.standing(ctx, name, c.Claims, limit)
	if err == nil && st == nil {
		err = errNotRenewed
	}
	return st, err
}

// claim is the claim with a subject, nil when nothing of it is claimed.
func (st *standing) claim(subject string) *assure.ClaimView {
	for i := range st.Claims {
		if st.Claims[i].Claim.Subject == subject {
			return &st.Claims[i]
		}
	}
	return nil
}

// newest is the attempt of a kind that ended last, nil when none did.
func (st *standing) newest(k assure.AttemptKind) *assure.Attempt {
	for i := range st.Attempts {
		if a := &st.Attempts[i]; a.Kind == k && !a.Ended.IsZero() {
			return a
		}
	}
	return nil
}

// attemptsLeft is how many attempts fit before the certificate ends; ok is false when that is not known. Before the first attempt
// it was never counted.
func attemptsLeft(s assure.RenewalState) (n int, ok bool) {
	return s.Left, s.Left > 0 || s.Left == 0 && s.Failures > 0
}

// rungName is a rung's name in the configuration and in the API, such as "canary"; empty for a renewal.
func rungName(k assure.AttemptKind) string {
	name, ok := strings.CutPrefix(string(k), "rehearse_")
	if !ok {
		return ""
	}
	return name
}

// rungsOf turns names of rungs into kinds, in the order of the ladder and each once.
func rungsOf(names []string) ([]assure.AttemptKind, error) {
	var out []assure.AttemptKind
	for _, k := range assure.Ladder() {
		if slices.Contains(names, rungName(k)) {
			out = append(out, k)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(out, func(k assure.AttemptKind) bool { return rungName(k) == n }) {
			return nil, fmt.Errorf("%.40q is no rung of the ladder", n)
		}
	}
	return out, nil
}

// asked is one wish of a person.
type asked struct {
	certificate, who, remote string
	force                    bool
	rungs                    []assure.AttemptKind
}

// askRenewal asks for a renewal and notes who did. What cannot be noted is not done.
func (s *Server) askRenewal(ctx context.Context, a asked) error {
	detail := "when it is due"
	if a.force {
		detail = "now"
	}
	if err := s.noteWish(ctx, a, "renew", detail); err != nil {
		return err
	}
	if err := s.opts.Renewer.Renew(ctx, a.certificate, a.who, a.force); err != nil {
		return fmt.Errorf("ask for a renewal of %q: %w", a.certificate, err)
	}
	return nil
}

// askRehearsal asks for a rehearsal and notes who did.
func (s *Server) askRehearsal(ctx context.Context, a asked) error {
	names := make([]string, 0, len(a.rungs))
	for _, k := range a.rungs {
		names = append(names, rungName(k))
	}
	detail := strings.Join(names, ", ")
	if detail == "" {
		detail = "every rung that is switched on"
	}
	if err := s.noteWish(ctx, a, "rehearse", detail); err != nil {
		return err
	}
	if err := s.opts.Renewer.Rehearse(ctx, a.certificate, a.who, a.rungs); err != nil {
		return fmt.Errorf("ask for a rehearsal of %q: %w", a.certificate, err)
	}
	return nil
}

func (s *Server) noteWish(ctx context.Context, a asked, action, detail string) error {
	if s.opts.Accounts == nil {
		return nil
	}
	err := s.opts.Accounts.Log(ctx, assure.Audit{At: s.now().UTC(), Who: a.who, Remote: a.remote, Action: action, Object: a.certificate, Detail: detail})
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// renewNow and rehearseNow answer the forms on the page of a certificate.
func (s *Server) renewNow(v *visit) error {
	a, err := s.wish(v)
	if err != nil {
		return err
	}
	a.force = true
	if err := s.askRenewal(v.r.Context(), a); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, certificateURL(a.certificate)+"#renewal", http.StatusSeeOther)
	return nil
}

func (s *Server) rehearseNow(v *visit) error {
	a, err := s.wish(v)
	if err != nil {
		return err
	}
	// The first choice of the form is every rung that is on, and has no name.
	names := slices.DeleteFunc(v.r.PostForm["rung"], func(n string) bool { return n == "" })
	if a.rungs, err = rungsOf(names); err != nil {
		return httpError{http.StatusUnprocessableEntity, "There is no such rung of the ladder: " + err.Error() + "."}
	}
	if err := s.askRehearsal(v.r.Context(), a); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, certificateURL(a.certificate)+"#renewal", http.StatusSeeOther)
	return nil
}

// wish reads who asks for what from a form.
func (s *Server) wish(v *visit) (asked, error) {
	a := asked{certificate: v.r.PathValue("name"), who: v.who.name, remote: s.remote(v.r)}
	if _, err := s.findStanding(v.r.Context(), a.certificate, 1); err != nil {
		return a, err
	}
	if !s.auth.on() {
		name, problem := givenName(v.r.PostFormValue("who"))
		if problem != "" {
			return a, httpError{http.StatusUnprocessableEntity, problem + " Go back, correct it and send the form again."}
		}
		a.who = name
	}
	return a, nil
}

// attemptTook is how long an attempt took, or has taken up to now.
func attemptTook(a assure.Attempt, now time.Time) time.Duration {
	end := a.Ended
	if end.IsZero() {
		end = now
	}
	return max(0, end.Sub(a.Started))
}

package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/notafter/notafter/internal/assure"
)

type troubleDoc struct {
	Reason     string   `json:"reason" example:"dns_write_denied"`
	Class      string   `json:"class" enum:"denied,expired,missing,forbidden,conflict,throttled,lagging,invalid,broken,transient" doc:"Conflict, throttled, lagging and transient may pass by themselves; the others need a person"`
	Identity   string   `json:"identity,omitempty" doc:"Who was refused, as the other side names it"`
	Action     string   `json:"action,omitempty" doc:"What was refused" example:"Microsoft.Network/dnsZones/TXT/write"`
	Scope      string   `json:"scope,omitempty" doc:"Where"`
	Detail     string   `json:"detail" doc:"What was said or seen"`
	Remedy     string   `json:"remedy,omitempty" doc:"What to do about it"`
	RetryAfter *float64 `json:"retry_after_seconds" doc:"How long the other side asked to wait; null when it did not"`
	Happened   bool     `json:"happened" doc:"The failure came after the change was, or may have been, made"`
	Docs       string   `json:"docs" format:"uri"`
}

type stepDoc struct {
	Name    string      `json:"name" example:"propagation" doc:"Stable"`
	Title   string      `json:"title" example:"Propagation" doc:"The same for people"`
	Target  string      `json:"target,omitempty" doc:"The name, zone, server, path or endpoint it was about"`
	Outcome string      `json:"outcome" enum:"done,failed,unclear,skipped"`
	Detail  string      `json:"detail,omitempty" doc:"What was seen"`
	At      time.Time   `json:"at"`
	Took    float64     `json:"took_seconds"`
	Trouble *troubleDoc `json:"trouble"`
}

type attemptDoc struct {
	ID          int64      `json:"id" doc:"Later attempts have greater ones"`
	Certificate string     `json:"certificate"`
	Kind        string     `json:"kind" enum:"renewal,rehearse_static,rehearse_permission,rehearse_canary,rehearse_authorization,rehearse_full"`
	Rung        string     `json:"rung,omitempty" doc:"Of a rehearsal" enum:"static,permission,canary,authorization,full"`
	Title       string     `json:"title" doc:"The kind for people"`
	By          string     `json:"by" doc:"What or who caused it" example:"schedule"`
	Started     time.Time  `json:"started"`
	Ended       *time.Time `json:"ended" doc:"Null while it runs"`
	Took        float64    `json:"took_seconds" doc:"Up to now while it runs"`
	Outcome     string     `json:"outcome" enum:"running,done,failed,unclear,skipped"`
	Steps       []stepDoc  `json:"steps" nullable:"false" doc:"In the order in which they ended"`
	Fingerprint string     `json:"fingerprint_sha256,omitempty" doc:"Of the certificate that came of it"`
}

type rungDoc struct {
	Rung    string     `json:"rung" enum:"static,permission,canary,authorization,full"`
	Kind    string     `json:"kind" example:"rehearse_canary"`
	Level   int        `json:"level" minimum:"0" maximum:"4"`
	Title   string     `json:"title" doc:"For people"`
	On      bool       `json:"on" doc:"It is climbed by itself"`
	Every   *float64   `json:"every_seconds" doc:"How often; null when it is off"`
	Last    *time.Time `json:"last" doc:"When it was last climbed"`
	Outcome string     `json:"outcome,omitempty" enum:"done,failed,unclear,skipped" doc:"How that ended"`
	Next    *time.Time `json:"next" doc:"When it is climbed again, about; null when it is off"`
	Verdict string     `json:"verdict,omitempty" enum:"upheld,broken,unknown" doc:"Of the claim that it proves; left out when it is off"`
}

type windowDoc struct {
	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
	Explanation string    `json:"explanation,omitempty" doc:"Where the authority explains it"`
}

type renewalStateDoc struct {
	Due          *time.Time  `json:"due" doc:"When the next renewal is due"`
	Why          string      `json:"why,omitempty" doc:"Why then"`
	Next         *time.Time  `json:"next" doc:"When the next attempt is made: due, or later because of the pauses after failures"`
	Failures     int         `json:"failures" doc:"Attempts in a row that failed"`
	Left         *int        `json:"attempts_left" doc:"How many fit before the certificate ends; null when not known"`
	Window       *windowDoc  `json:"window" doc:"What the authority suggests (RFC 9773)"`
	ForcedBy     string      `json:"forced_by,omitempty" doc:"Who asked for a renewal that has not begun"`
	ForcedAt     *time.Time  `json:"forced_at"`
	Running      *time.Time  `json:"running_since"`
	LastTrouble  *troubleDoc `json:"last_trouble" doc:"What stopped the last attempt"`
	Unproven     *time.Time  `json:"unproven_since" doc:"When something that renewal needs was seen to be lost; null again once a renewal has succeeded and was seen in service"`
	UnprovenBy   *troubleDoc `json:"unproven_by"`
	LastAttempt  *time.Time  `json:"last_attempt"`
	LastSuccess  *time.Time  `json:"last_success"`
	Verdict      string      `json:"verdict" enum:"upheld,broken,unknown" doc:"Of the claim that renewal works"`
	IssueVerdict string      `json:"issuance_verdict" enum:"upheld,broken,unknown" doc:"Of the claim that a certificate for all names exists"`
}

type renewalDoc struct {
	Certificate string          `json:"certificate"`
	Renewer     string          `json:"renewer,omitempty" doc:"What renews it, as the configuration names it"`
	Settles     float64         `json:"settles_seconds" doc:"How long after a change of rights whoever runs the zone may still answer by what held before; 0 where changes count at once, or nothing is known"`
	Now         time.Time       `json:"now"`
	State       renewalStateDoc `json:"state"`
	Ladder      []rungDoc       `json:"ladder" nullable:"false" doc:"The rungs of the rehearsal, the cheapest first"`
	Attempts    []attemptDoc    `json:"attempts" nullable:"false" doc:"The one that began last first"`
}

type wishDoc struct {
	Certificate string     `json:"certificate"`
	Since       time.Time  `json:"since" doc:"Attempts that began before do not belong to this wish"`
	After       int64      `json:"after_attempt" doc:"Attempts with greater ids came after it; 0 when there was none"`
	Begins      bool       `json:"begins" doc:"False when nothing will begin now: the renewal is not due and was not forced"`
	Due         *time.Time `json:"due" doc:"When the next renewal is due"`
	Why         string     `json:"why,omitempty" doc:"Why then"`
}

type accepted struct {
	Status int
	Body   wishDoc
}

func (s *Server) registerRenewals(api huma.API) {
	if s.opts.Renewals == nil {
		return
	}
	if s.opts.Renewer != nil {
		s.registerAccounts(api)
	}
	const one = "/api/v1/certificates/{name}"
	huma.Register(api, describe("GET", one+"/renewal", "get-renewal", "Of a certificate that notafter renews itself. A running attempt grows while it runs.", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			Name  string `path:"name" example:"hosted-eu"`
			Limit int    `query:"limit" minimum:"1" maximum:"500" default:"20" doc:"At most so many attempts"`
		},
		) (*body[renewalDoc], error) {
			st, err := s.findStanding(ctx, in.Name, max(in.Limit, attemptsRead))
			if err != nil {
				return nil, s.renewalError("read a renewal", err)
			}
			d := newRenewalDoc(in.Name, st, in.Limit, s.now().UTC())
			if s.opts.RenewedBy != nil {
				var settles time.Duration
				d.Renewer, settles = s.opts.RenewedBy(in.Name)
				d.Settles = settles.Seconds()
			}
			return answer(d), nil
		})
	if s.opts.Renewer == nil {
		return
	}
	op := describe("POST", one+"/renew", "renew-certificate", "Returns at once; what comes of it is among the attempts. Without force nothing begins before the renewal is due.",
		http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	op.DefaultStatus = http.StatusAccepted
	huma.Register(api, op, func(ctx context.Context, in *struct {
		Name string `path:"name" example:"hosted-eu"`
		Body *struct {
			Force bool   `json:"force,omitempty" doc:"Renew although it is not due"`
			Who   string `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
		} `required:"false"`
	},
	) (*accepted, error) {
		a, given := asked{certificate: in.Name}, ""
		if in.Body != nil {
			a.force, given = in.Body.Force, in.Body.Who
		}
		out, waits, err := s.accept(ctx, a, given, s.askRenewal)
		if err == nil && !a.force && out.Body.Due != nil {
			out.Body.Begins = waits || !out.Body.Due.After(out.Body.Since)
		}
		return out, err
	})
	op = describe("POST", one+"/rehearse", "rehearse-renewal", "Returns at once; each rung is an attempt of its own. Without rungs, those that are switched on are climbed.",
		http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	op.DefaultStatus = http.StatusAccepted
	huma.Register(api, op, func(ctx context.Context, in *struct {
		Name string `path:"name" example:"hosted-eu"`
		Body *struct {
			Rungs []string `json:"rungs,omitempty" maxItems:"5" enum:"static,permission,canary,authorization,full"`
			Who   string   `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
		} `required:"false"`
	},
	) (*accepted, error) {
		a, given := asked{certificate: in.Name}, ""
		if in.Body != nil {
			var err error
			if a.rungs, err = rungsOf(in.Body.Rungs); err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			given = in.Body.Who
		}
		out, _, err := s.accept(ctx, a, given, s.askRehearsal)
		return out, err
	})
}

type accountDoc struct {
	Renewer string `json:"renewer"`
	Did     string `json:"did" enum:"roll-over,register"`
}

// registerAccounts adds what can be done to accounts at certificate authorities.
func (s *Server) registerAccounts(api huma.API) {
	for what, v := range map[string]struct {
		about string
		do    func(context.Context, string) error
	}{
		"roll-over": {"Gives the account at the certificate authority a new key (RFC 8555 section 7.3.5). Waits for the authority.", s.opts.Renewer.RollOver},
		"register":  {"Registers the account again with the key that it has, at an authority that has forgotten it. Waits for the authority.", s.opts.Renewer.Register},
	} {
		op := describe("POST", "/api/v1/renewers/{name}/account/"+what, what+"-account", v.about, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusBadGateway)
		huma.Register(api, op, func(ctx context.Context, in *struct {
			Name string `path:"name" example:"letsencrypt"`
			Body *struct {
				Who string `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
			} `required:"false"`
		},
		) (*body[accountDoc], error) {
			a, given := asked{certificate: in.Name, remote: callerFrom(ctx)}, ""
			if in.Body != nil {
				given = in.Body.Who
			}
			var err error
			if a.who, err = signature(ctx, given); err != nil {
				return nil, err
			}
			if err := s.noteWish(ctx, a, what+" account", "at the authority of the renewer"); err != nil {
				return nil, s.apiError("change an account", err)
			}
			if err := v.do(ctx, in.Name); err != nil {
				if t := (*assure.Trouble)(nil); errors.As(err, &t) {
					return nil, huma.Error502BadGateway(t.Error())
				}
				return nil, s.apiError("change an account", err)
			}
			return answer(accountDoc{in.Name, what}), nil
		})
	}
}

// accept asks for what somebody wishes and says from when on attempts belong to it, and whether something that was issued
// waits to be put into service.
func (s *Server) accept(ctx context.Context, a asked, given string, ask func(context.Context, asked) error) (out *accepted, waits bool, err error) {
	if a.who, err = signature(ctx, given); err != nil {
		return nil, false, err
	}
	a.remote = callerFrom(ctx)
	st, err := s.findStanding(ctx, a.certificate, 1)
	if err != nil {
		return nil, false, s.renewalError("ask for a renewal", err)
	}
	// The store keeps microseconds: nothing that begins now may seem to have begun before.
	now := s.now().UTC().Truncate(time.Microsecond)
	d := wishDoc{Certificate: a.certificate, Since: now, Begins: true, Due: ifSet(st.State.Due), Why: st.State.Why}
	if len(st.Attempts) > 0 {
		d.After = st.Attempts[0].ID
	}
	if err := ask(ctx, a); err != nil {
		return nil, false, s.renewalError("ask for a renewal", err)
	}
	return &accepted{http.StatusAccepted, d}, st.State.Waits(), nil
}

// signature is the name under which a wish is noted.
func signature(ctx context.Context, field string) (string, error) {
	who, given := caller(ctx), ""
	if field != "" {
		name, problem := givenName(field)
		if problem != "" {
			return "", huma.Error422UnprocessableEntity(problem)
		}
		given = name
	}
	switch {
	case who == "" && given == "":
		return "", huma.Error422UnprocessableEntity("This needs the field who: nobody signs in here.")
	case who == "":
		return given, nil
	case given != "":
		return given + " (" + who + ")", nil
	}
	return who, nil
}

// renewalError is apiError with words for a certificate that something else renews.
func (s *Server) renewalError(what string, err error) error {
	if errors.Is(err, errNotRenewed) {
		return huma.Error404NotFound("notafter does not renew this certificate itself.")
	}
	return s.apiError(what, err)
}

func newRenewalDoc(name string, st *standing, limit int, now time.Time) renewalDoc {
	r := st.State
	d := renewalDoc{Certificate: name, Now: now, Ladder: []rungDoc{}, Attempts: []attemptDoc{}}
	d.State = renewalStateDoc{
		Due: ifSet(r.Due), Why: r.Why, Next: ifSet(r.Next), Failures: r.Failures, ForcedBy: r.Forced, Running: ifSet(r.Running),
		LastTrouble: newTroubleDoc(r.LastTrouble), Unproven: ifSet(r.Unproven), UnprovenBy: newTroubleDoc(r.UnprovenBy),
		LastAttempt: ifSet(r.LastAttempt), LastSuccess: ifSet(r.LastSuccess), Verdict: verdictDoc(""), IssueVerdict: verdictDoc(""),
	}
	if r.Forced != "" {
		d.State.ForcedAt = ifSet(r.ForcedAt)
	}
	if n, ok := attemptsLeft(r); ok {
		d.State.Left = &n
	}
	if !r.WindowStart.IsZero() {
		d.State.Window = &windowDoc{r.WindowStart.UTC(), r.WindowEnd.UTC(), r.WindowFrom}
	}
	if c := st.claim(assure.SubjectRenewal); c != nil {
		d.State.Verdict = verdictDoc(c.Verdict)
	}
	if c := st.claim(assure.SubjectIssuance); c != nil {
		d.State.IssueVerdict = verdictDoc(c.Verdict)
	}
	for _, v := range st.ladder(now) {
		x := rungDoc{Rung: v.Name, Kind: string(v.Kind), Level: v.Level, Title: v.Title, On: v.On, Last: ifSet(v.Last), Next: ifSet(v.Next), Outcome: string(v.Outcome)}
		if v.On {
			every := v.Every.Seconds()
			x.Every, x.Verdict = &every, verdictDoc(v.Verdict)
		}
		d.Ladder = append(d.Ladder, x)
	}
	for _, a := range st.Attempts[:min(limit, len(st.Attempts))] {
		d.Attempts = append(d.Attempts, newAttemptDoc(a, now))
	}
	return d
}

func newAttemptDoc(a assure.Attempt, now time.Time) attemptDoc {
	d := attemptDoc{
		ID: a.ID, Certificate: a.Certificate, Kind: string(a.Kind), Rung: rungName(a.Kind), Title: kindWords(a.Kind), By: a.By, Started: a.Started.UTC(), Ended: ifSet(a.Ended),
		Took: attemptTook(a, now).Seconds(), Outcome: string(a.Outcome), Steps: []stepDoc{}, Fingerprint: a.Fingerprint,
	}
	if a.Ended.IsZero() {
		d.Outcome = "running"
	}
	for _, s := range a.Steps {
		d.Steps = append(d.Steps, stepDoc{s.Name, stepWords(s.Name), s.Target, string(s.Outcome), s.Detail, s.At.UTC(), s.Took.Seconds(), newTroubleDoc(s.Trouble)})
	}
	return d
}

func newTroubleDoc(t *assure.Trouble) *troubleDoc {
	if t == nil {
		return nil
	}
	d := &troubleDoc{
		Reason: string(t.Reason), Class: string(t.Class), Identity: t.Identity, Action: t.Action, Scope: t.Scope, Detail: t.Detail, Remedy: t.Remedy,
		Happened: t.Happened, Docs: t.Reason.Docs(),
	}
	if t.RetryAfter > 0 {
		s := t.RetryAfter.Seconds()
		d.RetryAfter = &s
	}
	return d
}

package renew

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// states are those of all authorizations of the account's orders.
func (w *world) states(c *CA) []string {
	w.t.Helper()
	url, err := c.AccountURL(deadline(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, o := range w.authority.Orders(url) {
		if o.Finalized {
			continue
		}
		out = append(out, o.Authorizations...)
	}
	return out
}

func TestAuthorizeProvesAndGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	for range 3 {
		var s steps
		if err := c.Authorize(deadline(t), Request{Names: []string{"a.example", "*.a.example"}}, w.dns(), s.add); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"order:done", "propagation:done", "validate:done", "withdraw:done", "deactivate:done"} {
			if !strings.Contains(s.text(), name) {
				t.Errorf("no %s in %s", name, s.text())
			}
		}
		if strings.Contains(s.text(), "finalize") {
			t.Errorf("a rehearsal was finalized: %s", s.text())
		}
	}
	got := w.states(c)
	if want := slices.Repeat([]string{"deactivated"}, 6); !slices.Equal(got, want) {
		t.Errorf("the CA holds %q, want six that were given back", got)
	}
	if n := w.proxy.Seen(authority.Finalize); n != 0 {
		t.Errorf("%d orders were finalized", n)
	}
	w.clean()
}

// An older authorization is given back and the order placed once more, also where another rehearsal gave it back a moment
// before and the CA refuses to do it twice.
func TestAuthorizeTriesOnceMoreWhenTheCADidNotLook(t *testing.T) {
	t.Parallel()
	refuse := authority.Problem(400, "malformed", "only valid and pending authorizations can be deactivated", "")
	for name, faults := range map[string][]authority.Fault{
		"it is given back": nil,
		"it is given back already": {{At: authority.Authorization, After: 1, Do: func(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			refuse(rw, r, pass)
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, authority.Options{AuthzReuse: 100})
			c := w.ca()
			if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
				t.Fatal(err)
			}
			w.proxy.Add(faults...)
			var s steps
			if err := c.Authorize(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), s.add); err != nil {
				t.Fatal(err)
			}
			if want := "order:done deactivate:done order:done present:done propagation:done validate:done withdraw:done deactivate:done"; s.text() != want {
				t.Errorf("steps are %s, want %s", s.text(), want)
			}
			w.clean()
		})
	}
}

// TestReuseIsInconclusive has the CA hold several valid authorizations for one name, from orders that were open at the
// same time.
func TestReuseIsInconclusive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{AuthzReuse: 100})
	c := w.ca()
	const orders = 3
	var all sync.WaitGroup
	all.Add(orders)
	var running sync.WaitGroup
	for range orders {
		running.Go(func() {
			together := []Solver{meeting{w.dns()[0], &all}}
			if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, together, nil); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	var s steps
	err := c.Authorize(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), s.add)
	wantTrouble(t, err, assure.RehearsalInconclusive, assure.TroubleTransient, "a.example")
	if st := s.find(t, assure.StepValidate); st.Outcome != assure.Unclear || st.Trouble == nil {
		t.Errorf("the step is %+v, want unclear", st)
	}
	// Each attempt gives two back, so the next one finds the last of the three and then has to prove it.
	if err := c.Authorize(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Errorf("the second rehearsal: %v", err)
	}
	w.clean()
}

// meeting holds every order until all are placed.
type meeting struct {
	Solver
	all *sync.WaitGroup
}

func (m meeting) Present(ctx context.Context, c Challenge) (*Proof, error) {
	m.all.Done()
	m.all.Wait()
	return m.Solver.Present(ctx, c)
}

func TestAFailedRehearsalGivesBackToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	w.zone.lag["_acme-challenge.b.example"] = 1 << 30
	var s steps
	err := c.Authorize(deadline(t), Request{Names: []string{"a.example", "b.example"}}, w.dns(func(o *DNSOptions) { o.Timeout = 100 * time.Millisecond }), s.add)
	wantTrouble(t, err, assure.DNSWriteFailed, assure.TroubleLagging)
	if got := w.states(c); !slices.Equal(got, []string{"deactivated", "deactivated"}) {
		t.Errorf("the CA holds %q", got)
	}
	w.clean()

	ctx, cancel := context.WithCancel(deadline(t))
	w.fail(func(op string) (error, bool) { //nolint:revive // see trip
		if op == "look" {
			cancel()
		}
		return nil, false
	})
	_ = c.Authorize(ctx, Request{Names: []string{"b.example"}}, w.dns(), nil)
	w.fail(nil)
	if got := w.states(c); len(got) != 3 || got[2] != "deactivated" {
		t.Errorf("after one that was stopped the CA holds %q", got)
	}
	w.clean()
}

func TestARehearsalFailsWhenItCannotClearUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	w.fail(tripOn("withdraw", 1, false))
	err := c.Authorize(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	w.fail(nil)
	wantTrouble(t, err, assure.DNSWriteFailed, assure.TroubleTransient, "withdraw")
	if w.book.left() != 1 {
		t.Errorf("%d entries are in the journal, want the one that could not be withdrawn", w.book.left())
	}

	w.proxy.Add(authority.Fault{At: authority.Authorization, After: 2, Times: -1, Do: authority.Problem(400, "malformed", "no", "")})
	err = c.Authorize(deadline(t), Request{Names: []string{"c.example"}}, w.dns(), nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleInvalid)
}

func TestAnAuthorizationThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	w.proxy.Add(authority.Fault{At: authority.Authorization, Do: authority.Problem(404, "malformed", "no such authorization", "")})
	err := c.Authorize(deadline(t), Request{Names: []string{"a.example", "b.example"}}, w.dns(), nil)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleInvalid, "no such authorization")
	if got := w.states(c); !slices.Equal(got, []string{"deactivated", "deactivated"}) {
		t.Errorf("the CA holds %q", got)
	}
	w.clean()
}

package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// lives makes TestSoak what `make soak` runs.
var lives = flag.Int("lives", 0, "let TestSoak renew certificates of 20 and 30 seconds for so many lifetimes; 0 is a short run of longer ones, that a busy machine keeps up with")

// regime is how TestSoak goes about it. Certificates of one writer live for life, and those of the other for half as
// long again.
type regime struct {
	life time.Duration
	due  float64 // the share of a lifetime after which the authority asks for a renewal
	// rounds is how many lifetimes it lasts or, when short is set, how many renewals of everything.
	rounds int
	short  bool
	// late is how much later than a canary interval the page may come: to ask, record and send.
	late time.Duration
}

func (r regime) longer() time.Duration { return r.life * 3 / 2 }

func regimeOf(lives int) regime {
	if lives > 0 {
		return regime{life: 20 * time.Second, due: 0.35, rounds: lives, late: 2 * time.Second}
	}
	return regime{life: time.Minute, due: 0.25, rounds: 2, short: true, late: 12 * time.Second}
}

const (
	soakCanary = 3 * time.Second
	// soakWarm is the number of lifetimes after which nothing grows any more.
	soakWarm = 5
)

// client shakes hands at one address as clients do, again and again, and counts those that were refused once one was not.
type client struct {
	what              string
	mu                sync.Mutex
	serials           map[string]bool
	accepted, refused int
	last              error
}

func visit(t *testing.T, name, address string, roots *x509.CertPool) *client {
	c := &client{what: name + " at " + address, serials: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(150 * time.Millisecond)
		defer tick.Stop()
		for {
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, &tls.Config{RootCAs: roots, ServerName: name})
			c.mu.Lock()
			switch {
			case err == nil:
				c.accepted++
				c.serials[conn.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
				_ = conn.Close()
			case c.accepted > 0:
				c.refused++
				c.last = err
			}
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	return c
}

func (c *client) certificates() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.serials) }

// soaked is a product that renews, with clients at every address of everything that it renews.
type soaked struct {
	*renewed
	*product
	regime
	t       *testing.T
	stop    func()
	clients []*client
	names   []string
	green   time.Time
}

func soak(t *testing.T, how regime) *soaked {
	t.Helper()
	r := settle(t, pace{
		life: how.life, due: how.due, profiles: map[string]string{estate.Azure: estate.Longer},
		canary: soakCanary, authorization: 10 * time.Second, full: 15 * time.Second,
	})
	r.add(t, []string{"hosted." + estate.AzureZone, "status." + estate.AzureZone, "*.hosted." + estate.AzureZone})
	r.add(t, []string{"portal." + estate.AzureZone})
	r.add(t, []string{"intranet." + estate.BindZone}, "127.0.0.1", "127.0.0.2")
	r.add(t, []string{"wiki." + estate.BindZone})
	s := &soaked{renewed: r, regime: how, t: t}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(r.Roots) {
		t.Fatal("no roots")
	}
	for _, site := range r.sites {
		_, port, _ := net.SplitHostPort(site.Target)
		for _, n := range site.Names {
			s.names = append(s.names, strings.TrimPrefix(n, "*."))
			n = strings.Replace(n, "*", "any", 1)
			s.clients = append(s.clients, visit(t, n, net.JoinHostPort("127.0.0.1", port), roots))
			if strings.HasPrefix(n, "intranet.") {
				s.clients = append(s.clients, visit(t, n, net.JoinHostPort("127.0.0.2", port), roots))
			}
		}
	}
	s.product, s.stop = startUntil(t, r.config, "")
	until(t, 3*time.Minute, "certificate in service everywhere", func() bool {
		return !slices.ContainsFunc(s.clients, func(c *client) bool { return c.certificates() == 0 })
	})
	s.green = time.Now()
	return s
}

// calm fails the test when anything was found since all were in service, or a client was refused.
func (s *soaked) calm(when string) {
	s.t.Helper()
	for _, i := range s.incidents() {
		if i.OpenedAt.After(s.green) {
			s.t.Errorf("%s: incident %s of %s: %s", when, i.Reason, i.OpenedAt.Format(time.TimeOnly), i.Summary)
		}
	}
	s.noGap(when)
}

func (s *soaked) noGap(when string) {
	s.t.Helper()
	for _, c := range s.clients {
		c.mu.Lock()
		if c.refused > 0 {
			s.t.Errorf("%s: %s: %d of %d clients were refused, the last because: %v", when, c.what, c.refused, c.refused+c.accepted, c.last)
		}
		c.mu.Unlock()
	}
}

// size is what the process needs.
type size struct {
	goroutines int
	heap       uint64
}

func measure() size {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return size{runtime.NumGoroutine(), m.HeapAlloc}
}

func (s size) String() string {
	return fmt.Sprintf("%d goroutines, %.1f MB", s.goroutines, float64(s.heap)/1e6)
}

// attempt is what the API says of one.
type attempt struct {
	ID            int
	Kind, Outcome string
	By            string
	Started       time.Time
	Took          float64 `json:"took_seconds"`
	Steps         []struct {
		Name, Outcome, Detail string
		Took                  float64 `json:"took_seconds"`
	}
}

// attempts are those of all certificates that are on record, newest first for each.
func (s *soaked) attempts() map[string][]attempt {
	out := map[string][]attempt{}
	for _, site := range s.sites {
		name, _, _ := strings.Cut(site.Name, ".")
		var v struct{ Attempts []attempt }
		s.get("/api/v1/certificates/"+name+"/renewal?limit=500", &v)
		out[name] = v.Attempts
	}
	return out
}

// explain logs what was done lately.
func (s *soaked) explain() {
	for name, list := range s.attempts() {
		for _, a := range list[:min(len(list), 20)] {
			var not []string
			for _, step := range a.Steps {
				if step.Outcome != "done" || step.Took > 1 {
					not = append(not, fmt.Sprintf("%s %s %.1fs: %s", step.Name, step.Outcome, step.Took, step.Detail))
				}
			}
			s.t.Logf("%s %s %s %s by %s took %.2fs %s", a.Started.Format("15:04:05.000"), name, a.Kind, a.Outcome, a.By, a.Took, strings.Join(not, "; "))
		}
	}
}

// Certificates that live for seconds are renewed on both writers, lifetime after lifetime, installed, reloaded and seen on
// every address, while rehearsals of every rung run. No client is refused, nothing is found, nothing is left in a zone,
// and the process does not grow. Then the grant is taken away while nothing is due: a page comes within a canary
// interval, says what a person needs, and its incident closes after a renewal has proven the repair, not before.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := soak(t, regimeOf(*lives))
	var warm, now size
	for n := 1; n <= s.rounds; n++ {
		s.round(n)
		now = measure()
		if n == soakWarm {
			warm = now
		}
		served := make([]string, len(s.clients))
		for i, c := range s.clients {
			served[i] = fmt.Sprint(c.certificates())
		}
		t.Logf("round %d: certificates seen %s; %s", n, strings.Join(served, " "), now)
		s.calm(fmt.Sprintf("round %d", n))
		if t.Failed() {
			s.explain()
			return
		}
	}
	if s.rounds > soakWarm {
		// The lab lives in the same process, and Pebble forgets nothing that it ever made.
		if now.goroutines > warm.goroutines+warm.goroutines/4+20 {
			t.Errorf("goroutines grow: %s after %d lifetimes, %s after %d", warm, soakWarm, now, s.rounds)
		}
		if perLife := (float64(now.heap) - float64(warm.heap)) / float64(s.rounds-soakWarm); perLife > 1e6 {
			t.Errorf("memory grows by %.0f kB with each lifetime: %s after %d lifetimes, %s after %d", perLife/1e3, warm, soakWarm, now, s.rounds)
		}
	}
	count := map[string]int{}
	for name, list := range s.attempts() {
		for _, a := range list {
			count[a.Kind]++
			if a.Outcome != "done" && a.Outcome != "running" {
				t.Errorf("%s: %s was %s: %+v", name, a.Kind, a.Outcome, a.Steps)
			}
		}
	}
	t.Logf("attempts on record: %v", count)

	s.loseAndMend()
	s.noGap("at the end")
	hands := 0
	for _, c := range s.clients {
		c.mu.Lock()
		hands += c.accepted
		c.mu.Unlock()
	}
	t.Logf("%d clients shook hands %d times, and none was refused", len(s.clients), hands)
	if t.Failed() {
		s.explain()
	}
	s.swept(t, s.names...)
	s.stop() // rehearsals go on until then
	if left := s.Leftovers(s.names...); len(left) > 0 {
		t.Errorf("left in the zones: %v", left)
	}
}

// round waits until the n-th lifetime is over, or until everything was renewed n times, and sees that it was.
func (s *soaked) round(n int) {
	s.t.Helper()
	renewed := func() bool {
		return !slices.ContainsFunc(s.clients, func(c *client) bool { return c.certificates() <= n })
	}
	if s.short {
		until(s.t, 4*s.longer(), "renewal of everything", renewed)
		return
	}
	at := s.green.Add(time.Duration(n) * s.longer())
	until(s.t, s.longer()+time.Minute, "end of a lifetime", func() bool { return !time.Now().Before(at) })
	if !renewed() {
		s.t.Errorf("not every certificate was renewed %d times in %d lifetimes", n, n)
	}
}

// loseAndMend takes the grant away while nothing is due, and gives it back.
func (s *soaked) loseAndMend() {
	t, azure := s.t, s.sites[:2]
	until(t, 5*s.longer(), "time at which nothing is due", func() bool {
		return !slices.ContainsFunc(azure, func(a *estate.Site) bool {
			from, _ := a.Life()
			return float64(time.Since(from)) > s.due/3*float64(s.longer())
		})
	})
	before := []string{string(azure[0].Leaf()), string(azure[1].Leaf())}
	s.Revoke()
	revoked := time.Now()
	page := s.awaitPage(assure.DNSWriteDenied)
	took := page.At.Sub(revoked)
	t.Logf("the page came %s after the grant was lost", took.Round(time.Millisecond))
	if limit := soakCanary + s.late; took > limit {
		t.Errorf("the page came %s after the grant was lost, later than %s", took, limit)
	}
	if string(azure[0].Leaf()) != before[0] || string(azure[1].Leaf()) != before[1] {
		t.Error("a renewal was due, and this shows nothing")
	}
	for _, want := range []string{estate.ObjectID, "Microsoft.Network/dnsZones/TXT/", estate.AzureZone, "(until "} {
		if !strings.Contains(string(page.Body), want) {
			t.Errorf("the page does not say %q: %s", want, page.Body)
		}
	}
	s.Grant()
	granted := time.Now()
	var lost incident
	until(t, 2*time.Minute, "proof", func() bool {
		for _, i := range s.incidents() {
			if strings.HasPrefix(i.Cause, "grant/") && i.OpenedAt.After(s.green) {
				lost = i
			}
		}
		return lost.State == string(assure.Resolved)
	})
	t.Logf("the incident closed %s after the grant was back", time.Since(granted).Round(time.Millisecond))
	if string(azure[0].Leaf()) == before[0] && string(azure[1].Leaf()) == before[1] {
		t.Error("the incident closed without a renewal that proved the repair")
	}
	for _, i := range s.incidents() {
		if i.OpenedAt.After(s.green) && i.ID != lost.ID {
			t.Errorf("besides the lost grant, incident %s: %s", i.Reason, i.Summary)
		}
	}
}

// awaitPage waits for a page about the reason.
func (s *soaked) awaitPage(r assure.Reason) lab.PagerMessage {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	m, err := s.pager.WaitFor(ctx, func(m lab.PagerMessage) bool {
		return m.Event == "trigger" && strings.Contains(string(m.Body), string(r))
	})
	if err != nil {
		s.t.Fatalf("no page about %s: %v; incidents: %+v", r, err, s.incidents())
	}
	return m
}

package lab

import (
	"net"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// stage starts the scenes. The first of them are well and are renewed in time; what is wrong with the others stands in
// their sentences.
func (w *World) stage() error {
	w.healthy("shop", "tls", nil, "A web shop, renewed in time: its runway shrinks and jumps back at six tenths of the lifetime.")
	both := twoAddresses()
	if both != nil {
		w.healthy("api", "https", both, "One name on two addresses, both reloaded at each renewal.")
	}
	w.healthy("mail", "smtp", nil, "A mail server that switches to TLS with STARTTLS.")
	w.healthy("db", "postgres", nil, "A PostgreSQL server that is asked for TLS first.")
	w.healthy("quic", "h3", nil, "A server that speaks HTTP/3, over QUIC.")
	if IPv6() {
		w.healthy("six", "tls", []string{"127.0.0.1", "::1"}, "One name with an IPv4 and an IPv6 address.")
	}
	w.expired()
	w.wrongName()
	w.incomplete()
	w.selfSigned()
	w.revoked()
	if both != nil {
		w.differs(both)
	}
	w.unreloaded()
	w.weak()
	w.doomed()
	w.flaky()
	w.gone()
	for _, s := range w.scenes {
		if s.act != nil {
			if err := s.act(w.now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// twoAddresses are two loopback addresses of this machine, nil where it has only one. macOS has no 127.0.0.2 unless told.
func twoAddresses() []string {
	for _, second := range []string{"127.0.0.2", "::1"} {
		if l, err := net.Listen("tcp", net.JoinHostPort(second, "0")); err == nil {
			_ = l.Close()
			return []string{"127.0.0.1", second}
		}
	}
	return nil
}

func (w *World) add(s *scene) { w.scenes = append(w.scenes, s) }

// fresh issues a certificate that begins now and lives for a lifetime.
func (w *World) fresh(o LeafOptions) (*Leaf, error) {
	o.NotBefore = w.now()
	o.NotAfter = o.NotBefore.Add(w.Life)
	return w.CA.Issuing.Issue(o)
}

// since is how far a leaf is into its life.
func since(l *Leaf, now time.Time) time.Duration { return now.Sub(l.Cert.NotBefore) }

// renewAt is when a healthy renewer renews: well before two thirds of the lifetime, when somebody starts to wonder.
func (w *World) renewAt() time.Duration { return w.Life * 6 / 10 }

// serving makes a scene of one service whose first act starts it and whose later acts are then's.
func (w *World) serving(s Scene, o ServiceOptions, first func() (*Leaf, error), then func(svc *Service, l *Leaf, now time.Time) (*Leaf, error)) {
	if len(s.Names) == 0 {
		s.Names = []string{s.Name + "." + Domain}
	}
	sc := &scene{Scene: s}
	var svc *Service
	var leaf *Leaf
	sc.act = func(now time.Time) error {
		if svc == nil {
			l, err := first()
			if err != nil {
				return err
			}
			if o.Leaves == nil && o.ByAddress == nil {
				o.Leaves = []*Leaf{l}
			}
			if svc, err = w.start(o, s.Name+"."+Domain); err != nil {
				return err
			}
			leaf = l
			sc.Endpoints = []string{svc.Target(s.Name + "." + Domain)}
			sc.Issued, err = w.publish(s.Name, l)
			return err
		}
		if then == nil {
			return nil
		}
		l, err := then(svc, leaf, now)
		if err != nil {
			return err
		}
		if l != leaf {
			leaf = l
			w.log.Info("renewed", "name", s.Name, "until", l.Cert.NotAfter)
			_, err = w.publish(s.Name, l)
		}
		return err
	}
	w.add(sc)
}

// renewing is the healthy renewer: a new certificate in time, served at once.
func (w *World) renewing(o LeafOptions) func(*Service, *Leaf, time.Time) (*Leaf, error) {
	return func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
		if since(l, now) < w.renewAt() {
			return l, nil
		}
		n, err := w.fresh(o)
		if err != nil {
			return l, err
		}
		svc.Serve(n)
		return n, nil
	}
}

func (w *World) healthy(name, proto string, addresses []string, watch string) {
	o := LeafOptions{Names: []string{name + "." + Domain}}
	w.serving(Scene{Name: name, Watch: watch}, ServiceOptions{Proto: proto, Addresses: addresses},
		func() (*Leaf, error) { return w.fresh(o) }, w.renewing(o))
}

func (w *World) expired() {
	w.serving(Scene{Name: "forgotten", Watch: "Expired an hour ago, and nobody noticed.", Reasons: []assure.Reason{assure.Expired}}, ServiceOptions{},
		func() (*Leaf, error) {
			now := w.now()
			return w.CA.Issuing.Issue(LeafOptions{Names: []string{"forgotten." + Domain}, NotBefore: now.Add(-25 * time.Hour), NotAfter: now.Add(-time.Hour)})
		}, nil)
}

func (w *World) wrongName() {
	o := LeafOptions{Names: []string{"www.somebody-else." + Domain}}
	w.serving(Scene{
		Name: "stranger", Watch: "Serves the certificate of another name, as a server does that does not know the name asked for.",
		Reasons: []assure.Reason{assure.NameMismatch},
	}, ServiceOptions{}, func() (*Leaf, error) { return w.fresh(o) }, w.renewing(o))
}

func (w *World) incomplete() {
	o := LeafOptions{Names: []string{"partial." + Domain}}
	bare := func() (*Leaf, error) {
		l, err := w.fresh(o)
		if err != nil {
			return nil, err
		}
		return l.Serving(), nil
	}
	w.serving(Scene{Name: "partial", Watch: "Does not send the intermediate: browsers may hide it, programs do not.", Reasons: []assure.Reason{assure.ChainIncomplete}},
		ServiceOptions{}, bare, func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
			if since(l, now) < w.renewAt() {
				return l, nil
			}
			n, err := bare()
			if err == nil {
				svc.Serve(n)
				return n, nil
			}
			return l, err
		})
}

func (w *World) selfSigned() {
	w.serving(Scene{Name: "fallback", Watch: "Fell back to a self-signed certificate because its files were missing.", Reasons: []assure.Reason{assure.SelfSigned}}, ServiceOptions{},
		func() (*Leaf, error) {
			return w.CA.SelfSigned(LeafOptions{Names: []string{"fallback." + Domain}, NotBefore: w.now()})
		}, nil)
}

// revoked: the certificate is revoked once a sixth of its life is over, and again after each renewal.
func (w *World) revoked() {
	o := LeafOptions{Names: []string{"leaked." + Domain}}
	renew := w.renewing(o)
	var told *Leaf
	w.serving(Scene{
		Name: "leaked", Watch: "Its key leaks a sixth into each lifetime: the authority revokes it, and the revocation list says so a little later. The next renewal mends it.",
		Reasons: []assure.Reason{assure.Revoked}, Later: true,
	}, ServiceOptions{},
		func() (*Leaf, error) { return w.fresh(o) },
		func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
			if told != l && since(l, now) >= w.Life/6 {
				told = l
				w.CA.Issuing.Revoke(l.Cert, 1) // keyCompromise
				w.log.Info("revoked", "name", "leaked")
			}
			return renew(svc, l, now)
		})
}

// differs: of two addresses, the second is always one renewal behind.
func (w *World) differs(both []string) {
	o := LeafOptions{Names: []string{"lagging." + Domain}}
	at := map[string][]*Leaf{}
	w.serving(Scene{
		Name: "lagging", Watch: "Two addresses, of which the second is always one renewal behind, and expires before it catches up.",
		Reasons: []assure.Reason{assure.ServedDiffers, assure.ServedStale, assure.Expiring, assure.Expired},
	}, ServiceOptions{Addresses: both, ByAddress: at},
		func() (*Leaf, error) {
			now := w.now()
			before, err := w.CA.Issuing.Issue(LeafOptions{Names: o.Names, NotBefore: now.Add(-w.Life / 2), NotAfter: now.Add(w.Life / 2)})
			if err != nil {
				return nil, err
			}
			l, err := w.fresh(o)
			if err != nil {
				return nil, err
			}
			at[both[0]], at[both[1]] = []*Leaf{l}, []*Leaf{before}
			return l, nil
		},
		func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
			if since(l, now) < w.renewAt() {
				return l, nil
			}
			n, err := w.fresh(o)
			if err != nil {
				return l, err
			}
			svc.ServeAt(both[0], n)
			svc.ServeAt(both[1], l)
			return n, nil
		})
}

// unreloaded: renewed in time, but the server is not told until long after the old certificate has expired.
func (w *World) unreloaded() {
	o := LeafOptions{Names: []string{"asleep." + Domain}}
	var served *Leaf
	w.serving(Scene{
		Name: "asleep", Watch: "Renewed in time, but the server was never reloaded: it serves the old certificate until that expires. Half a lifetime later somebody reloads it, and it begins again.",
		Reasons: []assure.Reason{assure.ServedStale, assure.Expiring, assure.Expired}, Later: true,
	}, ServiceOptions{},
		func() (*Leaf, error) {
			l, err := w.fresh(o)
			served = l
			return l, err
		},
		func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
			if since(served, now) >= w.Life*3/2 {
				n, err := w.fresh(o)
				if err != nil {
					return l, err
				}
				svc.Serve(n)
				served = n
				return n, nil
			}
			if since(l, now) < w.renewAt() {
				return l, nil
			}
			n, err := w.fresh(o)
			if err != nil {
				return l, err
			}
			return n, nil
		})
}

func (w *World) weak() {
	o := LeafOptions{Names: []string{"antique." + Domain}, Key: RSA1024}
	w.serving(Scene{Name: "antique", Watch: "Renewed in time, but with an RSA key of 1024 bits.", Reasons: []assure.Reason{assure.WeakKey}}, ServiceOptions{},
		func() (*Leaf, error) { return w.fresh(o) }, w.renewing(o))
}

// doomed: the renewer has lost its permission; after the outage somebody renews by hand.
func (w *World) doomed() {
	o := LeafOptions{Names: []string{"doomed." + Domain}}
	w.serving(Scene{
		Name: "doomed", Watch: "Its renewer has lost its permission: well, then expiring, then expired. Half a lifetime after that somebody renews it by hand, the incident closes, and it begins again.",
		Reasons: []assure.Reason{assure.Expiring, assure.Expired}, Later: true,
	}, ServiceOptions{},
		func() (*Leaf, error) { return w.fresh(o) },
		func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
			if since(l, now) < w.Life*3/2 {
				return l, nil
			}
			n, err := w.fresh(o)
			if err != nil {
				return l, err
			}
			svc.Serve(n)
			return n, nil
		})
}

// flaky: up for half a lifetime, down for a quarter.
func (w *World) flaky() {
	o := LeafOptions{Names: []string{"flaky." + Domain}}
	renew := w.renewing(o)
	begun := w.now()
	up := true
	w.serving(Scene{Name: "flaky", Watch: "Refuses connections for a quarter of a lifetime, again and again.", Reasons: []assure.Reason{assure.Unreachable}, Later: true}, ServiceOptions{},
		func() (*Leaf, error) { return w.fresh(o) },
		func(svc *Service, l *Leaf, now time.Time) (*Leaf, error) {
			want := now.Sub(begun)%(w.Life*3/4) < w.Life/2
			switch {
			case up && !want:
				svc.Pause()
			case !up && want:
				if err := svc.Start(); err != nil {
					return l, err
				}
			}
			up = want
			return renew(svc, l, now)
		})
}

// gone: the name has been taken out of DNS; the server still runs.
func (w *World) gone() {
	o := LeafOptions{Names: []string{"gone." + Domain}}
	w.serving(Scene{Name: "gone", Watch: "Its name was taken out of DNS by mistake; the server still runs.", Reasons: []assure.Reason{assure.DNSFailed}}, ServiceOptions{},
		func() (*Leaf, error) {
			if err := w.DNS.Fail("gone."+Domain, 0, DNSNXDomain); err != nil {
				return nil, err
			}
			return w.fresh(o)
		}, w.renewing(o))
}

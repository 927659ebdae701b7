package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/notafter/notafter/internal/assure"
)

// lookTime is how long a look for a request may take when the request does not say.
const lookTime = 30 * time.Second

// look looks once, with a bounded number of looks at a time.
func (s *Server) look(ctx context.Context, target, module string) (assure.Served, assure.Judgement, error) {
	select {
	case s.looks <- struct{}{}:
		defer func() { <-s.looks }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // also when a slot came free at that very moment: nothing could be seen any more
		return assure.Served{}, assure.Judgement{}, fmt.Errorf("wait for a free slot to look: %w", err)
	}
	return s.opts.Probe(ctx, target, module)
}

// probe answers as blackbox_exporter's /probe does, so that an existing scrape job can point here. Unlike there, the
// dates stay when verification fails: probe_success is then 0 and the rest says why. With debug=true it answers in plain
// text for people, as blackbox_exporter does: what was seen and found, then the metrics.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	target, module := r.FormValue("target"), r.FormValue("module")
	t, err := assure.ParseTarget(target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), probeTime(r))
	defer cancel()
	began := time.Now() // measures a duration on the wire, not a moment in any certificate's life
	served, j, err := s.look(ctx, t.String(), module)
	took := time.Since(began)
	if ctx.Err() != nil && err != nil {
		// Not a probe that failed: nobody looked, and a scrape must not say that the target is down.
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p := probed{served, j, took}
	reg := prometheus.NewRegistry()
	reg.MustRegister(p)
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	if r.FormValue("debug") != "true" {
		metrics.ServeHTTP(w, r)
		return
	}
	plain := r.Clone(ctx)
	plain.Header = http.Header{} // the text format, not compressed
	text := written{head: http.Header{}}
	metrics.ServeHTTP(&text, plain)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Logs for the probe:\n%s\n\nMetrics that would have been returned:\n%s", p.log(t.String()), text.body.String())
}

// written keeps an answer instead of sending it.
type written struct {
	head http.Header
	body bytes.Buffer
}

func (w *written) Header() http.Header         { return w.head }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *written) WriteHeader(int)             {}

// log says line by line what was seen at each address and what is wrong with it.
func (p probed) log(target string) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(fmt.Sprintf(format, args...), "\ufffd"))
		b.WriteString(text + "\n")
	}
	line("target %s: %s after %s", target, verdictDoc(p.j.Verdict), p.took.Round(time.Millisecond))
	if words := dnsWords(p.served.DNS); words != "" {
		line("DNS: %s", words)
	}
	for _, g := range p.served.Sightings {
		seen := "no certificate"
		if g.Chain >= 0 && g.Chain < len(p.served.Chains) {
			c := p.served.Chains[g.Chain]
			if leaf, ok := leafOfChain(p.served, c); ok {
				seen = fmt.Sprintf("TLS %s, leaf %s, valid until %s", g.TLS, leaf.Fingerprint, chainEnd(p.served, c).UTC().Format(time.RFC3339))
			}
		}
		if g.Failure != assure.OK {
			seen += ": " + failureWords(g)
		}
		line("%s: %s", g.Address, seen)
	}
	for _, f := range p.j.Findings {
		line("%s %s %s", f.Severity, f.Reason, strings.TrimSpace(f.Address+" "+f.Summary))
		if f.Action != "" {
			line("  do next: %s", f.Action)
		}
	}
	if len(p.j.Findings) == 0 {
		line("nothing is wrong with it")
	}
	return b.String()
}

// probeTime is what Prometheus allows, less half a second for the way back.
func probeTime(r *http.Request) time.Duration {
	d, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || d <= 0 || d > 120 {
		return lookTime
	}
	return max(time.Duration(d*float64(time.Second))-500*time.Millisecond, 100*time.Millisecond)
}

// probed turns one look into the series of blackbox_exporter (prober/tls.go and prober/http.go there).
type probed struct {
	served assure.Served
	j      assure.Judgement
	took   time.Duration
}

// Describe gives nothing: which series there are depends on what was seen.
func (probed) Describe(chan<- *prometheus.Desc) {}

func (p probed) Collect(ch chan<- prometheus.Metric) {
	gauge := func(name, help string, v float64, labels ...string) {
		var keys, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			keys, values = append(keys, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "\ufffd"))
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, keys, nil), prometheus.GaugeValue, v, values...)
	}
	success := 0.0
	if p.success() {
		success = 1
	}
	gauge("probe_success", "Displays whether or not the probe was a success: clients are served a certificate that they accept, on every address.", success)
	gauge("probe_duration_seconds", "Returns how long the probe took to complete in seconds.", p.took.Seconds())
	var earliest, chainEnds time.Time
	var leaf *assure.Cert
	version := ""
	for _, g := range p.served.Sightings {
		if g.NoSNI || g.Chain < 0 || g.Chain >= len(p.served.Chains) {
			continue
		}
		c := p.served.Chains[g.Chain]
		for _, fp := range c.Certs {
			if cert, ok := p.served.CertOf(fp); ok && (earliest.IsZero() || cert.NotAfter.Before(earliest)) {
				earliest = cert.NotAfter
			}
		}
		if l, ok := leafOfChain(p.served, c); ok {
			if end := chainEnd(p.served, c); chainEnds.IsZero() || end.Before(chainEnds) {
				chainEnds, leaf = end, &l
			}
		}
		if version == "" {
			version = g.TLS
		}
	}
	if !earliest.IsZero() {
		gauge("probe_ssl_earliest_cert_expiry", "Returns last SSL chain expiry in unixtime: the earliest end of any certificate served.", float64(earliest.Unix()))
	}
	if leaf != nil {
		gauge("probe_ssl_last_chain_expiry_timestamp_seconds", "Returns last SSL chain expiry in timestamp: when the longest lasting valid chain ends, or the leaf where there is none.", float64(chainEnds.Unix()))
		gauge("probe_ssl_last_chain_info", "Contains SSL leaf certificate information.", 1, "fingerprint_sha256", leaf.Fingerprint,
			"subject", leaf.Subject, "issuer", leaf.Issuer, "subjectalternative", strings.Join(dnsNames(leaf.Names), ","), "serialnumber", leaf.Serial)
	}
	type kind struct{ reason, severity string }
	found := map[kind]bool{}
	for _, f := range p.j.Findings {
		k := kind{string(f.Reason), string(f.Severity)}
		if !slices.Contains(assure.Reasons(), f.Reason) {
			k.reason = "other" // bounded, whatever another version may find
		}
		if !found[k] {
			found[k] = true
			gauge("notafter_probe_finding", "What is wrong with the endpoint; absent when nothing is.", 1, "reason", k.reason, "severity", k.severity)
		}
	}
	if version != "" {
		gauge("probe_tls_version_info", "Returns the TLS version used, or NaN when unknown.", 1, "version", "TLS "+version)
	}
}

// success is what blackbox_exporter would say: the handshake worked and verified. A certificate that is merely late in
// its life still is a success there.
func (p probed) success() bool {
	if p.j.Verdict == assure.Unknown || p.j.Verdict == "" || !sawChain(p.served) {
		return false
	}
	for _, f := range p.j.Findings {
		if f.Stage >= assure.StageOutage {
			return false
		}
	}
	for _, g := range p.served.Sightings {
		if g.Failure != assure.OK && !g.NoSNI && g.Offered == "" && g.Failure != assure.NoRoute {
			return false
		}
	}
	return true
}

func sawChain(s assure.Served) bool {
	for _, g := range s.Sightings {
		if g.Chain >= 0 {
			return true
		}
	}
	return false
}

// dnsNames leaves out IP addresses, as blackbox_exporter does.
func dnsNames(names []string) []string {
	var out []string
	for _, n := range names {
		if _, err := netip.ParseAddr(n); err != nil {
			out = append(out, n)
		}
	}
	return out
}

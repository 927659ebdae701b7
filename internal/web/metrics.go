package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/notafter/notafter/internal/assure"
)

const (
	// scrapeTime is how long the database may take for one scrape; Prometheus gives up after ten seconds by default.
	scrapeTime = 7 * time.Second
	// scrapeKeep is how long what was read serves further scrapes: a second Prometheus, or the push of metrics.
	scrapeKeep = 5 * time.Second
	// defaultSeries is how many certificates have a series of their own.
	defaultSeries = 5000
)

// figures collects what the database holds, when asked. Every label has a bounded set of values, all of them present
// from the start, but for the name of a certificate, whose number is limited.
type figures struct {
	s     *Server
	limit int

	findings, claims, incidents, deliveries, oldest, soonest, until, renewBy, leftOut, all, up *prometheus.Desc
	due, failures, renewed, climbed                                                            *prometheus.Desc // of what is renewed here

	mu    sync.Mutex
	read  time.Time // on the real clock
	total assure.Totals
	rows  []assure.Row
	books []assure.RenewalState
	rungs map[string]map[assure.AttemptKind]time.Time
	count int
	err   error
}

func (s *Server) registerMetrics(reg prometheus.Registerer) error {
	limit := s.opts.CertificateSeries
	if limit == 0 {
		limit = defaultSeries
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("notafter_"+name, help, labels, nil)
	}
	f := &figures{
		s: s, limit: max(limit, 0),
		findings:   desc("findings", "Present findings by reason and severity.", "reason", "severity"),
		claims:     desc("claims", "Claims by link and verdict.", "link", "verdict"),
		incidents:  desc("incidents_open", "Open incidents by the stage they reached, acknowledged ones included.", "stage"),
		deliveries: desc("deliveries", "Notices to channels by state.", "state"),
		oldest:     desc("oldest_pending_delivery_timestamp_seconds", "When the longest waiting delivery was due; absent when none waits."),
		soonest:    desc("soonest_refusal_timestamp_seconds", "When the first client of any endpoint is refused; absent when not known."),
		until:      desc("certificate_valid_until_timestamp_seconds", "When the first client of the certificate's endpoints is refused.", "certificate"),
		renewBy:    desc("certificate_renew_by_timestamp_seconds", "When a healthy renewal of the certificate must have happened.", "certificate"),
		leftOut:    desc("certificates_without_series", "Certificates that have no series of their own because there are too many, or because their end is not known."),
		all:        desc("certificates", "Declared certificates."),
		due:        desc("certificate_renewal_due_timestamp_seconds", "When the next renewal of the certificate is due, if notafter renews it itself.", "certificate"),
		failures:   desc("certificate_renewal_failures", "Renewals of the certificate in a row that failed; 0 after one that worked.", "certificate"),
		renewed:    desc("certificate_last_renewal_timestamp_seconds", "When the certificate was last renewed and seen in service; absent when never.", "certificate"),
		climbed:    desc("rehearsal_last_success_timestamp_seconds", "When a rung of the rehearsal of the certificate's next renewal last succeeded; absent when never.", "certificate", "rung"),
		up:         desc("store_up", "1 when the database answered this scrape; when 0, the other series are absent."),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "notafter_build_info", Help: "Version of notafter and of Go; always 1.",
		ConstLabels: prometheus.Labels{"version": s.opts.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{f, build} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	// The process as a whole may have registered its run-time's metrics already; once is enough.
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		var had prometheus.AlreadyRegisteredError
		if err := reg.Register(c); err != nil && !errors.As(err, &had) {
			return fmt.Errorf("register run-time metrics: %w", err)
		}
	}
	return nil
}

func (s *Server) metricsHandler() http.Handler {
	return promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: answerTime / 2,
		ErrorHandling: promhttp.ContinueOnError,
	})
}

func (f *figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.findings, f.claims, f.incidents, f.deliveries, f.oldest, f.soonest, f.until, f.renewBy, f.leftOut, f.all, f.up, f.due, f.failures, f.renewed, f.climbed} {
		ch <- d
	}
}

func (f *figures) load() error {
	if !f.read.IsZero() && time.Since(f.read) < scrapeKeep {
		return f.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	f.total, f.rows, f.count, f.err, f.books, f.rungs = assure.Totals{}, nil, 0, nil, nil, nil
	if f.total, f.err = f.s.opts.Reader.Totals(ctx); f.err == nil {
		f.rows, f.count, f.err = f.certificates(ctx)
	}
	if f.err == nil {
		f.err = f.renewals(ctx)
	}
	f.read = time.Now()
	if f.err != nil {
		f.s.log.Error("read figures for metrics", "error", f.err)
	}
	return f.err
}

// certificates reads those with the shortest runway, up to the limit.
func (f *figures) certificates(ctx context.Context) (rows []assure.Row, total int, err error) {
	for {
		want := min(500, f.limit-len(rows))
		page, err := f.s.opts.Reader.Rows(ctx, assure.RowQuery{Order: assure.ByRunway, Limit: max(want, 1), Offset: len(rows)})
		if err != nil {
			return nil, 0, err
		}
		total = page.Total
		rows = append(rows, page.Rows[:min(len(page.Rows), max(want, 0))]...)
		if len(page.Rows) == 0 || len(rows) >= f.limit || len(rows) >= total {
			return rows, total, nil
		}
	}
}

// renewals reads the books of those certificates that notafter renews itself.
func (f *figures) renewals(ctx context.Context) (err error) {
	read := f.s.opts.Renewals
	var names []string
	for _, r := range f.rows {
		if r.Links[assure.Issuance] != "" {
			names = append(names, r.Certificate)
		}
	}
	if read == nil || len(names) == 0 {
		return nil
	}
	if f.books, err = read.Renewals(ctx, names); err != nil {
		return err
	}
	f.rungs, err = read.Climbed(ctx, names)
	return err
}

func (f *figures) collectRenewals(gauge func(*prometheus.Desc, float64, ...string)) {
	seen := map[string]bool{}
	for _, r := range f.books {
		name := strings.ToValidUTF8(r.Certificate, "\ufffd")
		if seen[name] {
			continue
		}
		seen[name] = true
		gauge(f.failures, float64(r.Failures), name)
		if !r.Due.IsZero() {
			gauge(f.due, stamp(r.Due), name)
		}
		if !r.LastSuccess.IsZero() {
			gauge(f.renewed, stamp(r.LastSuccess), name)
		}
		for _, k := range assure.Ladder() {
			if t := f.rungs[r.Certificate][k]; !t.IsZero() {
				gauge(f.climbed, stamp(t), name, rungName(k))
			}
		}
	}
}

func (f *figures) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if f.load() != nil {
		gauge(f.up, 0)
		return
	}
	gauge(f.up, 1)
	f.collectFindings(gauge)
	for _, l := range assure.Links() {
		for _, v := range []assure.Verdict{assure.Upheld, assure.Broken, assure.Unknown} {
			gauge(f.claims, float64(f.total.Claims[l][v]), string(l), string(v))
		}
	}
	for _, s := range []assure.Stage{assure.StageTicket, assure.StagePage, assure.StageOutage} {
		gauge(f.incidents, float64(f.total.Incidents[s]), s.String())
	}
	for _, s := range []assure.DeliveryState{assure.DeliveryPending, assure.DeliverySent, assure.DeliveryFailed} {
		gauge(f.deliveries, float64(f.total.Deliveries[s]), string(s))
	}
	if !f.total.OldestPending.IsZero() {
		gauge(f.oldest, stamp(f.total.OldestPending))
	}
	if !f.total.Soonest.IsZero() {
		gauge(f.soonest, stamp(f.total.Soonest))
	}
	shown, seen := 0, map[string]bool{}
	for _, r := range f.rows {
		// Rows may move between two pages of the same reading.
		name := strings.ToValidUTF8(r.Certificate, "\ufffd")
		if r.ValidUntil.IsZero() || seen[name] {
			continue
		}
		seen[name] = true
		shown++
		gauge(f.until, stamp(r.ValidUntil), name)
		if !r.RenewBy.IsZero() {
			gauge(f.renewBy, stamp(r.RenewBy), name)
		}
	}
	f.collectRenewals(gauge)
	gauge(f.all, float64(f.count))
	gauge(f.leftOut, float64(max(0, f.count-shown)))
}

func (f *figures) collectFindings(gauge func(*prometheus.Desc, float64, ...string)) {
	severities := []assure.Severity{assure.Info, assure.Ticket, assure.Page}
	n := map[assure.Reason]map[assure.Severity]int{}
	for _, c := range f.total.Findings {
		if n[c.Reason] == nil {
			n[c.Reason] = map[assure.Severity]int{}
		}
		n[c.Reason][c.Severity] += c.N
	}
	known := assure.Reasons()
	for _, r := range known {
		for _, s := range severities {
			gauge(f.findings, float64(n[r][s]), string(r), string(s))
		}
	}
	// A code that only another version knows is shown under one name, so that it is neither lost nor unbounded.
	for _, s := range severities {
		other := 0
		for r, by := range n {
			if !slices.Contains(known, r) {
				other += by[s]
			}
		}
		gauge(f.findings, float64(other), "other", string(s))
	}
}

// stamp is a moment in Unix seconds.
func stamp(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

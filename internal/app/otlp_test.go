package app

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetricsArePushed(t *testing.T) {
	var mu sync.Mutex
	var path string
	var body []byte
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			if z, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
				raw, _ = io.ReadAll(z)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		path, body = r.URL.Path, raw
	}))
	defer collector.Close()
	reg := prometheus.NewRegistry()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "notafter_test_gauge", Help: "For this test."})
	reg.MustRegister(g)
	g.Set(7)
	stop, err := pushMetrics(t.Context(), collector.URL, reg, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if path != "/v1/metrics" || !bytes.Contains(body, []byte("notafter_test_gauge")) || !bytes.Contains(body, []byte("notafter")) {
		t.Errorf("the collector got %d bytes at %q", len(body), path)
	}
}

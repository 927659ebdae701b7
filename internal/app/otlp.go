package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// otlpEvery is how often metrics are pushed: as often as Prometheus scrapes by default.
const otlpEvery = time.Minute

// pushMetrics sends what /metrics shows to an OpenTelemetry collector over HTTP until stop is called, which sends once
// more. A collector that does not answer is no reason to stop watching: the exporter retries, and a push that failed is
// replaced by the next.
func pushMetrics(ctx context.Context, address string, g prometheus.Gatherer, version string) (stop func(context.Context) error, err error) {
	exporter, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(address+"/v1/metrics"))
	if err != nil {
		return nil, fmt.Errorf("set up the push of metrics to the collector: %w", err)
	}
	reader := metric.NewPeriodicReader(exporter, metric.WithInterval(otlpEvery), metric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(g))))
	provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(resource.NewSchemaless(serviceAttributes(version)...)))
	return provider.Shutdown, nil
}

// serviceAttributes name the sender by OpenTelemetry's resource conventions.
func serviceAttributes(version string) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("service.name", "notafter"), attribute.String("service.version", version)}
}

package app_test

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/estate"
	"github.com/notafter/notafter/internal/store"
)

// Where notafter is only run for errands, from cron, the next errand withdraws what one that was killed left in a zone.
func TestAnErrandClearsUpAfterTheLast(t *testing.T) {
	t.Parallel()
	host := "shop." + estate.AzureZone
	r := settle(t, pace{life: 10 * time.Minute, canary: time.Hour, authorization: time.Hour}, host)
	db, err := store.Open(t.Context(), store.Options{DSN: r.config.State.Value()})
	if err != nil {
		t.Fatal(err)
	}
	record := "_acme-challenge." + host
	for id, until := range map[string]time.Time{"left": time.Now().Add(-time.Second), "held": time.Now().Add(time.Hour)} {
		if err := db.PutPending(t.Context(), assure.Pending{ID: id, Renewer: estate.Azure, Name: record, Value: id, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r.Azure.SetValues(estate.AzureZone, record, 60, "left", "somebody else's", "held")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(app.Options{Config: r.config, Listener: l, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	if _, err := a.RehearseNow(t.Context(), "shop", "ana", []assure.AttemptKind{assure.RehearseStatic}, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.Azure.Values(estate.AzureZone, record); !slices.Equal(got, []string{"somebody else's", "held"}) {
		t.Errorf("the record holds %q", got)
	}
}

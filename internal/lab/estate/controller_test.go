package estate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab/estate"
)

// A controller renews while its identity may write, is refused in the words of Azure when it may not, and renews again
// when it may; it leaves nothing in the zone.
func TestController(t *testing.T) {
	t.Parallel()
	e := begin(t)
	s, err := e.Site("hosted." + estate.AzureZone)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := e.Controller(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Renew(ctx, s); err != nil {
		t.Fatal(err)
	}
	until(t, "first certificate in service", func() bool { return s.Leaf() != nil })
	first := string(s.Leaf())
	e.Revoke()
	if err := c.Renew(ctx, s); err == nil || !strings.Contains(err.Error(), "AuthorizationFailed") {
		t.Errorf("without the grant: %v", err)
	}
	if string(s.Leaf()) != first {
		t.Error("it was renewed without the grant")
	}
	e.Grant()
	if err := c.Renew(ctx, s); err != nil {
		t.Fatal(err)
	}
	until(t, "next certificate in service", func() bool { return string(s.Leaf()) != first })
	if left := e.Leftovers("_acme-challenge.hosted." + estate.AzureZone); len(left) > 0 {
		t.Errorf("left in the zone: %q", left)
	}
}

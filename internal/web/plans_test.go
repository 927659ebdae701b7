package web

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// planBooks take one plan.
type planBooks struct {
	who, plan string
	grants    []assure.PlannedGrant
	ended     []string
}

func (b *planBooks) AnnouncePlan(_ context.Context, who, plan string, grants []assure.PlannedGrant) (string, int, error) {
	b.who, b.plan, b.grants = who, plan, grants
	if grants[0].Principal == "nobody" {
		return "", 0, nil
	}
	return "K7", len(grants), nil
}

func (b *planBooks) EndPlan(_ context.Context, id, who, _ string, exit int) error {
	if id != "K7" {
		return assure.ErrNotFound
	}
	b.ended = append(b.ended, fmt.Sprint(who, " ", exit))
	return nil
}

func TestPlansByAPI(t *testing.T) {
	books := &planBooks{}
	s := newServer(t, newWorld(), func(o *Options) { o.Plans = books })
	call := func(path, body string, want int) (d announcedDoc) {
		t.Helper()
		r := fetch(s, "POST", path, body, map[string]string{"Content-Type": "application/json"})
		if r.Code != want {
			t.Fatalf("%s %.300s gives %d: %s", path, body, r.Code, r.Body)
		}
		if want == 200 {
			if err := json.Unmarshal(r.Body.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	digest := strings.Repeat("0123456789abcdef", 4)
	const grant = `{"does": "makes", "address": "azurerm_role_assignment.cm", "principal": "4f1c", "scope": "/z", "rights": ["write"]}`
	announce := func(digest, who, grants string) string {
		return fmt.Sprintf(`{"plan": %q, "who": %q, "grants": [%s]}`, digest, who, grants)
	}
	d := call("/api/v1/plans", announce(digest, "Ana", grant), 200)
	if d.ID != "K7" || d.Grants != 1 || books.who != "Ana" || books.plan != digest || books.grants[0].Does != assure.PlanMakes || books.grants[0].Rights[0] != "write" {
		t.Errorf("announced %+v as %+v", books, d)
	}
	if d = call("/api/v1/plans", announce(digest, "Ana", strings.Replace(grant, "4f1c", "nobody", 1)), 200); d.ID != "" || d.Grants != 0 {
		t.Errorf("about nobody: %+v", d)
	}
	call("/api/v1/plans/K7/ended", `{"exit": 3, "who": "Ana"}`, 200)
	if len(books.ended) != 1 || books.ended[0] != "Ana 3" {
		t.Errorf("ended: %v", books.ended)
	}
	call("/api/v1/plans/other/ended", `{"exit": 0, "who": "Ana"}`, 404)
	call("/api/v1/plans/K7/ended", `{"who": "Ana"}`, 422)
	call("/api/v1/plans/K7/ended", `{"exit": -1, "who": "Ana"}`, 422)
	for name, body := range map[string]string{
		"no digest":             announce("0123", "Ana", grant),
		"nobody says who it is": announce(digest, "", grant),
		"nothing":               announce(digest, "Ana", ""),
		"too much":              announce(digest, "Ana", strings.Repeat(grant+",", 200)+grant),
		"a strange word":        announce(digest, "Ana", strings.Replace(grant, "makes", "eats", 1)),
		"a strange right":       announce(digest, "Ana", strings.Replace(grant, `"write"`, `"own"`, 1)),
		"a strange key":         announce(digest, "Ana", strings.Replace(grant, `"scope"`, `"scopes"`, 1)),
		"a long address":        announce(digest, "Ana", strings.Replace(grant, "azurerm", strings.Repeat("a", 1100), 1)),
		"a long spelling":       announce(digest, "Ana", strings.Replace(grant, `"rights"`, `"also": ["`+strings.Repeat("a", 300)+`"], "rights"`, 1)),
	} {
		t.Run(name, func(t *testing.T) { call("/api/v1/plans", body, 422) })
	}
	s = newServer(t, newWorld(), func(o *Options) { o.Plans = nil })
	if r := fetch(s, "POST", "/api/v1/plans", announce(digest, "Ana", grant), map[string]string{"Content-Type": "application/json"}); r.Code != 404 {
		t.Errorf("where nobody wants to hear of it: %d", r.Code)
	}
}

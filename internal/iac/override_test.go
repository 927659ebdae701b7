package iac

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var overrideNow = *onDate("2026-09-22T15:00:00Z")

func TestOverridesAreReadAsTheyAreWritten(t *testing.T) {
	list, err := ReadOverrides("o.yaml", []byte(`# who answers for what
- fingerprint: "0011223344556677"
  by: Ana Ruiz
  reason: >-
    the identity moves to the
    other subscription
  until: 2026-10-06
- {fingerprint: 1234567890123456, by: no, reason: "x: y", until: 2026-10-06T18:00:00+02:00}
`), overrideNow)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{0011223344556677 Ana Ruiz the identity moves to the other subscription 2026-10-06 23:59:59 +0000 UTC} {1234567890123456 no x: y 2026-10-06 16:00:00 +0000 UTC}]"
	if fmt.Sprint(list) != want {
		t.Errorf("got %v, want %s", list, want)
	}
	for _, nothing := range []string{"", "# nobody yet\n", "---\n", "null\n", "[]\n"} {
		if list, err := ReadOverrides("o.yaml", []byte(nothing), overrideNow); err != nil || len(list) != 0 {
			t.Errorf("%q: %v, %v", nothing, list, err)
		}
	}
}

func TestOverridesThatAreRefused(t *testing.T) {
	const good = "- {fingerprint: a, by: b, reason: c, until: 2026-10-06}\n"
	for in, want := range map[string]string{
		"- fingerprint: a\n  by: b\n  until: 2026-10-06\n":                 `o.yaml:1:3: the key "reason" is missing`,
		"- fingerprint: a\n  by: \"\"\n  reason: c\n  until: 2026-10-06\n": `o.yaml:2:7: by: is empty: who lets a finding pass says so with a name and a reason`,
		"- fingerprint: a\n  by:\n  reason: c\n  until: 2026-10-06\n":      `by: is empty`,
		"- fingerprint: a\n  by: b\n  reason: c\n  untill: 2026-10-06\n":   `o.yaml:4:3: unknown key "untill"`,
		"- {fingerprint: a, by: b, reason: c, until: soon}\n":              `until: want a date such as 2026-12-10`,
		"- {fingerprint: a, by: b, reason: c, until: 2026-13-01}\n":        `until: want a date`,
		"- {fingerprint: a, by: b, reason: c, until: 2026-12-22}\n":        `o.yaml:1:45: until: is more than 90 days ahead: want 2026-12-21 at the latest`,
		"- {fingerprint: [a], by: b, reason: c, until: 2026-10-06}\n":      `fingerprint: want text`,
		"- {fingerprint: *x, by: b, reason: c, until: 2026-10-06}\n":       `fingerprint: want text`,
		good + good:           `o.yaml:2:3: the finding a is overridden already in line 1`,
		good + "---\n" + good: `a second YAML document begins here`,
		"fingerprint: a\n":    `o.yaml:1:1: want a list of overrides`,
		"- a\n":               `o.yaml:1:3: want an override`,
		"- {by: a, by: b}\n":  `not valid YAML`,
		"- {fingerprint: a, by: b, \"by\": c, reason: c, until: 2026-10-06}\n": `by`,
		"- {fingerprint: a, by: b, By: c, reason: c, until: 2026-10-06}\n":     `unknown key "By"`,
		"- {fingerprint: a, by: \"\u2800\", reason: c, until: 2026-10-06}\n":   `by: holds no letter or digit that can be seen`,
		"- {fingerprint: a, by: b, reason: \"\u3164\", until: 2026-10-06}\n":   `reason: holds no letter or digit that can be seen`,
		"- {fingerprint: a, by: b, reason: \"...\", until: 2026-10-06}\n":      `reason: holds no letter or digit that can be seen`,
		"- {by: a\n":                        `not valid YAML`,
		strings.Repeat("[", 5000):           `nested more than 16 deep`,
		strings.Repeat(" ", MaxOverrides+1): `larger than 256 KiB`,
		"- {fingerprint: a, by: b, reason: " + strings.Repeat("x", 1001) + ", until: 2026-10-06}\n": `reason: is longer than 1000 letters`,
	} {
		list, err := ReadOverrides("o.yaml", []byte(in), overrideNow)
		var p OverrideProblems
		if !errors.As(err, &p) || list != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, %v; want %s", in, list, err, want)
		}
	}
	if _, err := ReadOverrides("o.yaml", []byte("- {fingerprint: a, by: 王, reason: '№ 7', until: 2026-12-21}\n"), overrideNow); err != nil {
		t.Errorf("a name in another script: %v", err)
	}
	if _, err := ReadOverrides("o.yaml", []byte("- {fingerprint: a, by: b, reason: c, until: 2026-12-21}\n"), overrideNow); err != nil {
		t.Errorf("the ninetieth day: %v", err)
	}
}

func TestOverriding(t *testing.T) {
	until := *onDate("2026-09-30T23:59:59Z")
	of := func(fingerprint string) Override {
		return Override{Fingerprint: fingerprint, By: "Ana", Reason: "known", Until: until}
	}
	lost, gap, incomplete := "0011223344556677", "8899aabbccddeeff", "1212121212121212"
	for name, c := range map[string]struct {
		list  []Override
		now   time.Time
		class Class
		notes string
	}{
		"nobody answers":                       {nil, overrideNow, Lost, ""},
		"one is answered for, the next counts": {[]Override{of(lost)}, overrideNow, Gap, ""},
		"a plan that is not whole stays that":  {[]Override{of(lost), of(gap), of(incomplete)}, overrideNow, Incomplete, "the override of 1212121212121212 by Ana does not count: nobody can answer for a plan that is not whole"},
		"to its last second":                   {[]Override{of(lost)}, until, Gap, ""},
		"and no longer":                        {[]Override{of(lost)}, until.Add(time.Second), Lost, "the override of 0011223344556677 by Ana ended on 30 Sep 2026 23:59 UTC and no longer counts"},
		"a finding that is gone":               {[]Override{of("ff")}, overrideNow, Lost, "the override of ff by Ana matches nothing in this plan"},
		"gone and ended":                       {[]Override{of("ff")}, until.Add(time.Hour), Lost, "the override of ff by Ana ended on 30 Sep 2026 23:59 UTC and matches nothing here: it can be taken out"},
	} {
		v := shownVerdict()
		got, notes := v.Override(c.list, c.now)
		if got.Class != c.class || strings.Join(notes, "\n") != c.notes || len(got.Findings) != 3 {
			t.Errorf("%s: %s, %q", name, got.Class, notes)
		}
		for _, f := range v.Findings {
			if f.Overridden != nil {
				t.Errorf("%s: the verdict given was changed", name)
			}
		}
	}
	got, _ := shownVerdict().Override([]Override{of(lost)}, overrideNow)
	if got.Findings[0].Class != Gap || got.Findings[2].Overridden == nil || got.Findings[2].Overridden.By != "Ana" {
		t.Errorf("what counts does not come first: %+v", got.Findings)
	}
	if v, _ := (Verdict{Class: Safe}).Override(nil, overrideNow); v.Class != Safe {
		t.Errorf("nothing found is %s", v.Class)
	}
}

// An override that was printed lets its finding pass once it is filled in, and not before.
func TestTheLinesToFillIn(t *testing.T) {
	s := shownVerdict().Findings[0].snippet(overrideNow)
	if _, err := ReadOverrides("o.yaml", []byte(s), overrideNow); err == nil || strings.Count(err.Error(), "is empty") != 2 {
		t.Errorf("as printed: %v", err)
	}
	s = strings.Replace(strings.Replace(s, `by: ""`, "by: Ana", 1), `reason: ""`, "reason: known", 1)
	list, err := ReadOverrides("o.yaml", []byte(s), overrideNow)
	if err != nil || len(list) != 1 {
		t.Fatalf("filled in: %v, %v\n%s", list, err, s)
	}
	if v, notes := shownVerdict().Override(list, overrideNow); v.Class != Gap || len(notes) != 0 {
		t.Errorf("%s, %q", v.Class, notes)
	}
}

func FuzzReadOverrides(f *testing.F) {
	for _, s := range []string{
		"- {fingerprint: a, by: b, reason: c, until: 2026-10-06}\n", "- fingerprint: a\n  by: |\n    b\n  reason: *x\n  until: 2026-10-06T00:00:00Z\n",
		"a: b", "- - - a", "[{[", "- !!binary x: &a\n", "? x\n: y\n", "\ufeff- {by: ~}\n", "---\n---\n", "- {fingerprint: .inf, by: 0x1, reason: <<, until: 1}\n", "- <<: {by: a}\n", "\t- a",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadOverrides("o.yaml", data, overrideNow)
		if err != nil && list != nil {
			t.Error("overrides beside an error")
		}
		for _, o := range list {
			if o.Fingerprint == "" || o.By == "" || o.Reason == "" || o.Until.IsZero() || o.Until.After(overrideNow.Add(LongestOverride+24*time.Hour)) || strings.ContainsAny(o.By+o.Reason+o.Fingerprint, "\n\x1b") {
				t.Errorf("%+v", o)
			}
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\x00\r") {
			t.Errorf("%q", err)
		}
	})
}

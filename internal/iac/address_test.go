package iac

import (
	"slices"
	"testing"
)

func TestInstanceOfAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"a.b":                         {"a.b", ""},
		"a.b[0]":                      {"a.b", "0"},
		`a.b["x"]`:                    {"a.b", `"x"`},
		`module.m["x.y"].a.b["[\"]"]`: {`module.m["x.y"].a.b`, `"[\"]"`},
		`module.m["x"].a.b`:           {`module.m["x"].a.b`, ""},
		"]":                           {"]", ""},
		"[]":                          {"[]", ""},
		`a.b["x].y["]`:                {"a.b", `"x].y["`},
		`a.b["x[0]"]`:                 {"a.b", `"x[0]"`},
	} {
		if base, key := instance(address); base != want[0] || key != want[1] {
			t.Errorf("instance(%s) = %q, %q; want %q", address, base, key, want)
		}
	}
}

func TestResourceName(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"a.b": "b", "a.b[0]": "b", `module.m["x.y"].a.b["[\"]"]`: "b", `a.b["x].y["]`: "b", `module.m["x]."].a.b`: "b", "b": "b", "": "",
	} {
		if got := resourceName(address); got != want {
			t.Errorf("resourceName(%s) = %q, want %q", address, got, want)
		}
	}
	if got, want := segments(`module.m["a.b"].aws_x.y[0]`), []string{"module", `m["a.b"]`, "aws_x", "y[0]"}; !slices.Equal(got, want) {
		t.Errorf("segments %q", got)
	}
}

// What a repair quotes is one string of the language, with no template in it.
func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`a`: `"a"`, `a"b`: `"a\"b"`, `a\`: `"a\\"`, `${a}`: `"$${a}"`, `%{if}`: `"%%{if}"`, "a\nb": `"a\nb"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

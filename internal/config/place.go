package config

import (
	"fmt"
	"reflect"
	"strings"
)

// place is where a value stands in the file.
type place struct{ line, column int }

// remember keeps the places of what can only be found wrong after parsing.
func (c *Config) remember(d *decoder) {
	c.file, c.places = d.file, map[string]place{}
	keep := func(key string) {
		if pos := d.place(key); pos != nil {
			c.places[key] = place{pos.Line, pos.Column}
		}
	}
	eachSecret("", reflect.ValueOf(c).Elem(), func(key string, s *Secret, _ func(string) error) {
		if isReference(s.ref) {
			keep(key)
		}
	})
	for key := range d.places {
		// What is listed by the hundred thousand is left out.
		if !strings.HasPrefix(key, "certificates[") || strings.Contains(key, ".install") {
			keep(key)
		}
	}
	for i := range c.Certificates {
		if c.Certificates[i].Issued != "" {
			keep(issuedKey(i))
		}
	}
}

func issuedKey(i int) string { return fmt.Sprintf("certificates[%d].issued", i) }

// problem is one that was found after parsing. It stands at the key, or at the nearest value around it.
func (c *Config) problem(key, text string) Problem {
	var at place
	for k := key; ; {
		var ok bool
		at, ok = c.places[k]
		i := strings.LastIndexAny(k, ".[")
		if ok || i < 0 {
			break
		}
		k = k[:i]
	}
	return Problem{File: c.file, Line: max(at.line, 1), Column: max(at.column, 1), Key: key, Text: text}
}

// Refuse makes a [*Problems], with the places in the file, of what was found wrong with the values of a configuration by
// whoever uses them. Errors that were joined are taken apart; each begins with the key, or with parts of it one after the
// other ("renewers.le: dns.azure: ..."), and a colon. It is nil for nil.
func (c *Config) Refuse(err error) error {
	var bad []Problem
	var take func(error)
	take = func(err error) {
		if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the outermost is meant
			for _, one := range many.Unwrap() {
				take(one)
			}
		} else if err != nil {
			bad = append(bad, c.problem(c.keyed(oneLine(err.Error()))))
		}
	}
	take(err)
	return allOf(bad)
}

// keyed splits a text into the key that it begins with and the rest.
func (c *Config) keyed(text string) (key, rest string) {
	rest = text
	for {
		part, after, ok := strings.Cut(rest, ": ")
		if !ok {
			return key, rest
		}
		next := part
		if key != "" {
			next = key + "." + part
		}
		if _, known := c.places[next]; !known && (key != "" || strings.Contains(part, " ")) {
			return key, rest
		}
		key, rest = next, after
	}
}

package config

import (
	"fmt"
	"reflect"
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
	for i := range c.Certificates {
		if c.Certificates[i].Issued != "" {
			keep(issuedKey(i))
		}
	}
}

func issuedKey(i int) string { return fmt.Sprintf("certificates[%d].issued", i) }

// problem is one that was found after parsing.
func (c *Config) problem(key, text string) Problem {
	at := c.places[key]
	return Problem{File: c.file, Line: max(at.line, 1), Column: max(at.column, 1), Key: key, Text: text}
}

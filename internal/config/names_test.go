package config

import (
	"slices"
	"strings"
	"testing"
)

// Names are kept as they stand on certificates, whichever way they are written; the one who renews and the one who looks
// at what is served mean the same.
func TestNamesAreThoseOnCertificates(t *testing.T) {
	c, err := Parse("notafter.yaml", []byte(`certificates:
  - name: web
    names: [WWW.Example.com., bücher.example.com, "*.BÜCHER.example.com", a.other.example, www.example.com]
    endpoints: [www.example.com]
    renewer: bind
renewers:
  bind:
    acme: {directory: "https://ca.example/dir"}
    dns: {rfc2136: {server: ns1.example.com, zone: example.com, key: k, secret: "env:K"}}
channels:
  ops: {webhook: {url: "https://hooks.example.com/x", secret: "env:HOOK"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Certificates[0].Names, []string{"www.example.com", "xn--bcher-kva.example.com", "*.xn--bcher-kva.example.com", "a.other.example", "www.example.com"}; !slices.Equal(got, want) {
		t.Errorf("the names are %q", got)
	}
	var notes []string
	for _, n := range c.Notes() {
		notes = append(notes, n.Key+": "+n.Text)
	}
	for _, want := range []string{
		`certificates[0].names[4]: "www.example.com" is listed twice`,
		`certificates[0].names[3]: "a.other.example" is not in "example.com", the zone of renewers.bind.dns.rfc2136.zone: right only where an alias (CNAME) of _acme-challenge.a.other.example leads into it`,
	} {
		if !slices.Contains(notes, want) {
			t.Errorf("no note says %q:\n%s", want, strings.Join(notes, "\n"))
		}
	}
	if n := strings.Count(strings.Join(notes, "\n"), "is not in"); n != 1 {
		t.Errorf("%d notes about zones", n)
	}
}

package legochild

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// PowerDNS replaces whole sets. Newer servers also EXTEND a set by one record and PRUNE one from it, which touches no
// other value; older ones refuse the word with 422, and then the set is read and replaced.
// https://doc.powerdns.com/authoritative/http-api/zone.html

func openPDNS(s Settings) (writer, error) {
	base, err := endpoint(s.get("PDNS_API_URL"), true)
	if err != nil {
		return nil, err
	}
	server := url.PathEscape(orElse(s.get("PDNS_SERVER_NAME"), "localhost"))
	p := &pdns{newAPI("PowerDNS", base+"/api/v1/servers/"+server, header("X-API-Key", s.get("PDNS_API_KEY")), sayError)}
	return pdnsWriter{p, sets{p, s.whole("PDNS_TTL", 120)}}, nil
}

type pdns struct{ *api }

type pdnsRecord struct {
	Content  string `json:"content"`
	Disabled bool   `json:"disabled"`
}

type pdnsSet struct {
	Name    string       `json:"name"`
	Type    string       `json:"type"`
	Change  string       `json:"changetype,omitempty"`
	TTL     int          `json:"ttl,omitempty"`
	Records []pdnsRecord `json:"records"`
}

func (p *pdns) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 1, func(ctx context.Context, zone string) (string, error) {
		err := p.call(ctx, http.MethodGet, "/zones/"+zone+".?rrsets=false", nil, nil)
		if t := troubleIn(err); t != nil && t.Class == assure.TroubleInvalid && strings.Contains(strings.ToLower(t.Detail), "could not find domain") {
			return "", noZone(zone) // what servers before 4.2 say with 422
		}
		return zone, err
	})
}

func (p *pdns) read(ctx context.Context, at spot) (set, error) {
	var z struct {
		Sets []pdnsSet `json:"rrsets"`
	}
	// A server that does not know these parameters answers with the whole zone, which serves as well.
	if err := p.call(ctx, http.MethodGet, "/zones/"+at.zone+".?rrset_type=TXT&rrset_name="+url.QueryEscape(at.name+"."), nil, &z); err != nil {
		return set{}, err
	}
	for _, s := range z.Sets {
		if s.Type != "TXT" || !strings.EqualFold(s.Name, at.name+".") {
			continue
		}
		out := set{ttl: s.TTL}
		for _, r := range s.Records {
			if r.Disabled {
				return set{}, invalid("one of the TXT records at " + at.name + " is disabled, and replacing the set would not keep it so")
			}
			out.data = append(out.data, r.Content)
		}
		return out, nil
	}
	return set{}, nil
}

func (p *pdns) swap(ctx context.Context, at spot, _, to set) error {
	s := pdnsSet{Name: at.name + ".", Type: "TXT", Change: "REPLACE", TTL: to.ttl, Records: []pdnsRecord{}}
	for _, d := range to.data {
		s.Records = append(s.Records, pdnsRecord{Content: d})
	}
	if len(to.data) == 0 {
		s.Change = "DELETE"
	}
	return p.patch(ctx, at, s)
}

func (p *pdns) patch(ctx context.Context, at spot, s pdnsSet) error {
	if err := p.call(ctx, http.MethodPatch, "/zones/"+at.zone+".", map[string]any{"rrsets": []pdnsSet{s}}, nil); err != nil {
		return err
	}
	// Secondaries are told at once where the zone has any. A zone without (Native) refuses, and a lost notification costs a
	// refresh interval, which the check of propagation sees; neither is a failure of the write.
	_ = p.call(ctx, http.MethodPut, "/zones/"+at.zone+"./notify", nil, nil)
	return nil
}

type pdnsWriter struct {
	p     *pdns
	whole sets
}

func (w pdnsWriter) present(ctx context.Context, name, value string) error {
	return w.one(ctx, name, value, "EXTEND", w.whole.present)
}

func (w pdnsWriter) withdraw(ctx context.Context, name, value string) error {
	return w.one(ctx, name, value, "PRUNE", w.whole.withdraw)
}

func (w pdnsWriter) one(ctx context.Context, name, value, change string, otherwise func(context.Context, string, string) error) error {
	at, err := w.p.find(ctx, name)
	if err != nil {
		return err
	}
	have, err := w.p.read(ctx, at)
	if err != nil {
		return err
	}
	if have.has(value) == (change == "EXTEND") {
		return nil
	}
	ttl := w.whole.ttl
	if len(have.data) > 0 {
		ttl = have.ttl
	}
	err = w.p.patch(ctx, at, pdnsSet{Name: name + ".", Type: "TXT", Change: change, TTL: ttl, Records: []pdnsRecord{{Content: quote(value)}}})
	if t := troubleIn(err); t != nil && t.Class == assure.TroubleInvalid {
		return otherwise(ctx, name, value)
	}
	return err
}

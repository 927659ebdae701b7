package arm

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// zone is a DNS zone with its record sets.
type zone struct {
	id, name, group string
	etag            string
	tags            map[string]string
	number          int                   // how many zones were made before it, which decides about its name servers
	sets            map[string]*recordSet // by type, upper case, a slash and the relative name, lower case
}

// recordSet is one record set.
type recordSet struct {
	kind, name string // the type, upper case, and the name relative to the zone, "@" at its top
	etag       string
	ttl        int64
	metadata   map[string]string
	txt        []txtRecord
	other      map[string]json.RawMessage // properties that only types other than TXT have
}

// txtRecord is one TXT record: a value in strings of up to 255 bytes.
type txtRecord struct {
	Value []string `json:"value"`
}

func (t txtRecord) whole() string { return strings.Join(t.Value, "") }

func (z *zone) key(kind, name string) string {
	return strings.ToUpper(kind) + "/" + strings.ToLower(name)
}

// full is the name of a record set without a trailing dot.
func (z *zone) full(name string) string {
	if name == "@" {
		return z.name
	}
	return strings.ToLower(name) + "." + z.name
}

// values are the values of a TXT record set.
func (r *recordSet) values() []string {
	var list []string
	for _, t := range r.txt {
		list = append(list, t.whole())
	}
	return list
}

// newETag makes an ETag that was never used. The caller holds mu.
func (s *Server) newETag() string {
	s.etag++
	return "lab-" + strconv.Itoa(s.etag)
}

// AddZone makes a DNS zone in a resource group and returns its resource id. A zone that is there is left as it is.
func (s *Server) AddZone(group, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	id := s.ZoneScope(group, name)
	if s.zones[strings.ToLower(id)] == nil {
		s.zones[strings.ToLower(id)] = &zone{id: id, name: name, group: group, etag: s.newETag(), number: s.made, sets: map[string]*recordSet{}}
		s.made++
	}
	return id
}

// find returns a zone by its name, or nil. The caller holds mu.
func (s *Server) find(name string) *zone {
	for _, z := range s.zones {
		if strings.EqualFold(z.name, strings.TrimSuffix(name, ".")) {
			return z
		}
	}
	return nil
}

// relative is a full name as the zone's record sets are named.
func (z *zone) relative(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == z.name {
		return "@"
	}
	return strings.TrimSuffix(name, "."+z.name)
}

// Values returns the TXT values at a full name, in the order in which they were written.
func (s *Server) Values(zoneName, name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.find(zoneName)
	if z == nil {
		return nil
	}
	if r := z.sets[z.key("TXT", z.relative(name))]; r != nil {
		return r.values()
	}
	return nil
}

// TTL returns the time to live of the TXT record set at a full name, in seconds; ok is false when there is none.
func (s *Server) TTL(zoneName, name string) (ttl int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if z := s.find(zoneName); z != nil {
		if r := z.sets[z.key("TXT", z.relative(name))]; r != nil {
			return r.ttl, true
		}
	}
	return 0, false
}

// SetValues makes the TXT record set at a full name, as somebody else does: no right and no lock is asked for. No values
// remove the set.
func (s *Server) SetValues(zoneName, name string, ttl int64, values ...string) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	z := s.find(zoneName)
	if z == nil {
		s.mu.Unlock()
		return
	}
	rel := z.relative(name)
	if len(values) == 0 {
		delete(z.sets, z.key("TXT", rel))
	} else {
		r := &recordSet{kind: "TXT", name: rel, etag: s.newETag(), ttl: ttl}
		for _, v := range values {
			t := txtRecord{}
			for part := range slices.Chunk([]byte(v), 255) {
				t.Value = append(t.Value, string(part))
			}
			r.txt = append(r.txt, t)
		}
		z.sets[z.key("TXT", rel)] = r
	}
	s.mu.Unlock()
	s.publish(z.name, z.full(rel), values)
}

// Leftovers lists every TXT value of a zone as "name value", sorted: what is still there when nothing should be.
func (s *Server) Leftovers(zoneName string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	if z := s.find(zoneName); z != nil {
		for _, r := range z.sets {
			for _, v := range r.values() {
				list = append(list, z.full(r.name)+" "+v)
			}
		}
	}
	slices.Sort(list)
	return list
}

// publish tells of a change. The caller holds writing, and not mu.
func (s *Server) publish(zone, name string, values []string) {
	if s.opts.OnTXT != nil {
		s.opts.OnTXT(zone, name, slices.Clone(values))
	}
}

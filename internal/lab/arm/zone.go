package arm

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Types of record sets that are known.
var recordTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}

// mostRecords is how many records a set may have (Azure DNS limits, public zones).
const mostRecords = 20

// routeDNS finds the operations on zones and record sets: subscriptions/S/resourceGroups/G/providers/Microsoft.Network/
// dnsZones[/Z[/TYPE[/NAME]]].
func (s *Server) routeDNS(method string, path []string) (operation, *trouble) {
	if len(path) < 2 || !strings.EqualFold(path[0], "subscriptions") {
		return operation{}, noSuch(strings.Join(path, "/"))
	}
	if !strings.EqualFold(path[1], s.opts.Subscription) {
		return operation{}, &trouble{404, "SubscriptionNotFound", "The subscription '" + path[1] + "' could not be found."}
	}
	if len(path) < 7 || !strings.EqualFold(path[2], "resourceGroups") || !strings.EqualFold(path[4], "providers") ||
		!strings.EqualFold(path[5], "Microsoft.Network") || !strings.EqualFold(path[6], "dnsZones") {
		return operation{}, noSuch(strings.Join(path, "/"))
	}
	verb := map[string]string{http.MethodGet: "read", http.MethodPut: "write", http.MethodPatch: "write", http.MethodDelete: "delete"}[method]
	if verb == "" {
		return operation{}, notAllowed(method)
	}
	group, rest := path[3], path[7:]
	switch {
	case len(rest) == 0:
		if verb != "read" {
			return operation{}, notAllowed(method)
		}
		return operation{"Microsoft.Network/dnsZones/read", s.GroupScope(group), s.listZones(group)}, nil
	case len(rest) == 1:
		return operation{"Microsoft.Network/dnsZones/" + verb, s.ZoneScope(group, rest[0]), s.zoneItself(group, rest[0])}, nil
	case len(rest) == 2:
		kind := rest[1]
		lists := slices.ContainsFunc([]string{"recordsets", "all"}, func(x string) bool { return strings.EqualFold(x, kind) })
		if verb != "read" || !lists && !known(kind) {
			return operation{}, notAllowed(method)
		}
		only := ""
		if !lists {
			kind = strings.ToUpper(kind)
			only = kind
		}
		return operation{"Microsoft.Network/dnsZones/" + kind + "/read", s.ZoneScope(group, rest[0]), s.listSets(group, rest[0], only)}, nil
	case len(rest) == 3 && known(rest[1]):
		kind := strings.ToUpper(rest[1])
		scope := s.ZoneScope(group, rest[0]) + "/" + kind + "/" + rest[2]
		return operation{"Microsoft.Network/dnsZones/" + kind + "/" + verb, scope, s.oneSet(group, rest[0], kind, rest[2])}, nil
	}
	return operation{}, noSuch(strings.Join(path, "/"))
}

func known(kind string) bool { return slices.Contains(recordTypes, strings.ToUpper(kind)) }

// servers are the names of the zone's name servers. A zone that is made again has others than before.
func (z *zone) servers() []string {
	n := 1 + z.number%9
	return []string{fmt.Sprintf("ns1-%02d.azure-dns.com.", n), fmt.Sprintf("ns2-%02d.azure-dns.net.", n)}
}

func (z *zone) json() map[string]any {
	return map[string]any{
		"id": z.id, "name": z.name, "type": "Microsoft.Network/dnszones", "etag": z.etag, "location": "global", "tags": z.tags,
		"properties": map[string]any{"numberOfRecordSets": len(z.sets), "nameServers": z.servers(), "zoneType": "Public"},
	}
}

func (s *Server) listZones(group string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, _ *http.Request, _ claims) (int, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		list := []any{}
		for _, id := range slices.Sorted(maps.Keys(s.zones)) {
			if z := s.zones[id]; strings.EqualFold(z.group, group) {
				list = append(list, z.json())
			}
		}
		return send(w, 200, map[string]any{"value": list}), ""
	}
}

func (s *Server) zoneItself(group, name string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		var body struct {
			Tags map[string]string `json:"tags"`
		}
		if r.Method == http.MethodPut {
			if no := read(r, &body); no != nil {
				return fail(w, no)
			}
		}
		id := strings.ToLower(s.ZoneScope(group, name))
		s.writing.Lock()
		defer s.writing.Unlock()
		if r.Method == http.MethodPut {
			return s.putZone(w, r, group, name, body.Tags)
		}
		s.mu.Lock()
		z := s.zones[id]
		if z == nil {
			defer s.mu.Unlock()
			if r.Method == http.MethodDelete {
				return send(w, 204, nil), ""
			}
			return fail(w, noSuch("Microsoft.Network/dnszones/"+name))
		}
		if r.Method != http.MethodDelete {
			defer s.mu.Unlock()
			return send(w, 200, z.json()), ""
		}
		delete(s.zones, id)
		s.change(func(p *policy) { // grants at what no longer exists go with it
			p.assignments = slices.DeleteFunc(p.assignments, func(a Assignment) bool { return covers(z.id, a.Scope) })
		})
		s.mu.Unlock()
		for _, set := range z.sets {
			if set.kind == "TXT" {
				s.publish(z.name, z.full(set.name), nil)
			}
		}
		return send(w, 200, nil), ""
	}
}

// putZone makes a zone or changes its tags (REST reference, "Zones - Create Or Update"). The caller holds writing.
func (s *Server) putZone(w http.ResponseWriter, r *http.Request, group, name string, tags map[string]string) (int, string) {
	id := strings.ToLower(s.ZoneScope(group, name))
	s.mu.Lock()
	there := s.zones[id] != nil
	s.mu.Unlock()
	if there && r.Header.Get("If-None-Match") == "*" {
		return fail(w, &trouble{412, "PreconditionFailed", "The Zone " + name + " exists already and hence cannot be created again."})
	}
	s.AddZone(group, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[id]
	z.tags, z.etag = tags, s.newETag()
	if there {
		return send(w, 200, z.json()), ""
	}
	return send(w, 201, z.json()), ""
}

func (z *zone) setJSON(r *recordSet) map[string]any {
	p := map[string]any{"fqdn": z.full(r.name) + ".", "TTL": r.ttl, "provisioningState": "Succeeded", "targetResource": map[string]any{}}
	if r.metadata != nil {
		p["metadata"] = r.metadata
	}
	if r.kind == "TXT" {
		txt := r.txt
		if txt == nil {
			txt = []txtRecord{}
		}
		p["TXTRecords"] = txt
	}
	for k, v := range r.other {
		p[k] = v
	}
	return map[string]any{"id": z.id + "/" + r.kind + "/" + r.name, "name": r.name, "type": "Microsoft.Network/dnszones/" + r.kind, "etag": r.etag, "properties": p}
}

func noParent(zone string) *trouble {
	return &trouble{404, "ParentResourceNotFound", "Can not perform requested operation on nested resource. Parent resource '" + zone + "' not found."}
}

func (s *Server) listSets(group, zoneName, only string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, _ *http.Request, _ claims) (int, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		z := s.zones[strings.ToLower(s.ZoneScope(group, zoneName))]
		if z == nil {
			return fail(w, noParent(zoneName))
		}
		list := []any{}
		for _, k := range slices.Sorted(maps.Keys(z.sets)) {
			if only == "" || z.sets[k].kind == only {
				list = append(list, z.setJSON(z.sets[k]))
			}
		}
		return send(w, 200, map[string]any{"value": list}), ""
	}
}

func (s *Server) oneSet(group, zoneName, kind, name string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		if r.Method == http.MethodGet {
			s.mu.Lock()
			defer s.mu.Unlock()
			z := s.zones[strings.ToLower(s.ZoneScope(group, zoneName))]
			if z == nil {
				return fail(w, noParent(zoneName))
			}
			if set := z.sets[z.key(kind, name)]; set != nil {
				return send(w, 200, z.setJSON(set)), ""
			}
			return fail(w, &trouble{404, "NotFound", fmt.Sprintf("The resource record '%s' does not exist in resource group '%s' of subscription '%s'.", name, group, s.opts.Subscription)})
		}
		var made *recordSet
		if r.Method != http.MethodDelete {
			var no *trouble
			if made, no = readSet(r, kind, name); no != nil {
				return fail(w, no)
			}
		}
		return s.changeSet(w, r, s.ZoneScope(group, zoneName), zoneName, kind, name, made)
	}
}

// changeSet writes or, when made is nil, deletes a record set, if its conditions hold.
func (s *Server) changeSet(w http.ResponseWriter, r *http.Request, id, zoneName, kind, name string, made *recordSet) (int, string) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	z := s.zones[strings.ToLower(id)]
	if z == nil {
		defer s.mu.Unlock()
		if made == nil {
			return send(w, 204, nil), ""
		}
		return fail(w, noParent(zoneName))
	}
	old := z.sets[z.key(kind, name)]
	if no := conditions(r, old, made == nil); no != nil {
		defer s.mu.Unlock()
		return fail(w, no)
	}
	status := 200
	switch {
	case made == nil && old == nil:
		defer s.mu.Unlock()
		return send(w, 204, nil), ""
	case made == nil:
		delete(z.sets, z.key(kind, name))
		if s.opts.ForgetRecordGrants {
			at := z.id + "/" + kind + "/" + name
			s.change(func(p *policy) {
				p.assignments = slices.DeleteFunc(p.assignments, func(a Assignment) bool { return same(a.Scope, at) })
			})
		}
	default:
		if no := z.clash(kind, name); no != nil {
			defer s.mu.Unlock()
			return fail(w, no)
		}
		if old == nil {
			status = 201
		}
		made.etag = s.newETag()
		z.sets[z.key(kind, name)] = made
	}
	var answer map[string]any
	var values []string
	if made != nil {
		answer = z.setJSON(made)
		values = made.values()
	}
	s.mu.Unlock()
	if kind == "TXT" {
		s.publish(z.name, z.full(name), values)
	}
	return send(w, status, answer), ""
}

// conditions are If-Match and If-None-Match (REST reference, "Record Sets - Create Or Update" and "Delete").
func conditions(r *http.Request, old *recordSet, deleting bool) *trouble {
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	bad := &trouble{412, "PreconditionFailed", "The condition '" + match + none + "' in the request header was not satisfied."}
	switch {
	case none == "*" && old != nil:
		return bad
	case match == "" || old == nil && deleting:
		return nil
	case old == nil || match != "*" && match != old.etag:
		return bad
	}
	return nil
}

// clash refuses a CNAME beside anything else (RFC 1034 section 3.6.2).
func (z *zone) clash(kind, name string) *trouble {
	for _, other := range z.sets {
		if strings.EqualFold(other.name, name) && other.kind != kind && (kind == "CNAME" || other.kind == "CNAME") {
			return &trouble{400, "BadRequest", "The record could not be created because a CNAME record with the same name conflicts."}
		}
	}
	return nil
}

func readSet(r *http.Request, kind, name string) (*recordSet, *trouble) {
	var body struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if no := read(r, &body); no != nil {
		return nil, no
	}
	set := &recordSet{kind: kind, name: name, other: map[string]json.RawMessage{}}
	invalid := &trouble{400, "BadRequest", "The property of the record set is not valid."}
	for k, v := range body.Properties {
		var err error
		switch strings.ToLower(k) {
		case "ttl":
			err = json.Unmarshal(v, &set.ttl)
		case "metadata":
			err = json.Unmarshal(v, &set.metadata)
		case "txtrecords":
			if kind == "TXT" {
				err = json.Unmarshal(v, &set.txt)
			}
		case "fqdn", "provisioningstate", "targetresource":
		default:
			set.other[k] = v
		}
		if err != nil {
			return nil, invalid
		}
	}
	if set.ttl < 1 || set.ttl > 2147483647 {
		return nil, &trouble{400, "BadRequest", "The TTL must be between 1 and 2147483647."}
	}
	if len(set.txt) > mostRecords {
		return nil, &trouble{400, "BadRequest", fmt.Sprintf("The maximum number of records of a record set is %d.", mostRecords)}
	}
	for i, t := range set.txt {
		for _, part := range t.Value {
			if len(part) > 255 {
				return nil, &trouble{400, "BadRequest", "Each string of a TXT record must be at most 255 characters."}
			}
		}
		if slices.ContainsFunc(set.txt[:i], func(x txtRecord) bool { return x.whole() == t.whole() }) {
			return nil, &trouble{400, "BadRequest", "The record set contains duplicate records."}
		}
	}
	return set, nil
}

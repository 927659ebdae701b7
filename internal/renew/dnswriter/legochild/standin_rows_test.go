package legochild

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, r *http.Request, v any) {
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Errorf("%s %s came with a body that cannot be read: %v", r.Method, r.URL.Path, err)
	}
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

type object = map[string]any

func cloudflareStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	ok := func(v any) any { return object{"success": true, "errors": []any{}, "messages": []any{}, "result": v} }
	m.HandleFunc("GET /zones", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		if r.FormValue("name") == apex {
			l = append(l, object{"id": "023e105f4ecef8ad9ca31a8372d0c353", "name": apex, "status": "active"})
		}
		send(w, 200, ok(l))
	})
	m.HandleFunc("GET /zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		for _, c := range z.at(r.FormValue("name")) {
			l = append(l, object{"id": strconv.Itoa(c.id), "type": "TXT", "name": c.name, "content": quote(c.value), "ttl": 120})
		}
		send(w, 200, ok(l))
	})
	m.HandleFunc("POST /zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Type, Name, Content string }
		read(t, r, &in)
		id := z.add(in.Name, bare(in.Content))
		send(w, 200, ok(object{"id": strconv.Itoa(id)}))
	})
	m.HandleFunc("DELETE /zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !z.del(r.PathValue("id")) {
			send(w, 404, object{"success": false, "errors": []any{object{"code": 81044, "message": "Record does not exist."}}})
			return
		}
		send(w, 200, ok(object{"id": r.PathValue("id")}))
	})
	return wants(t, "Authorization", "Bearer cf-token-1234567890", m)
}

func digitaloceanStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v2/domains/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != apex {
			send(w, 404, object{"id": "not_found", "message": "The resource you were accessing could not be found."})
			return
		}
		send(w, 200, object{"domain": object{"name": apex, "ttl": 1800}})
	})
	m.HandleFunc("GET /v2/domains/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		for _, c := range z.at(r.FormValue("name")) {
			l = append(l, object{"id": c.id, "type": "TXT", "name": rel(c.name), "data": c.value})
		}
		send(w, 200, object{"domain_records": l})
	})
	m.HandleFunc("POST /v2/domains/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Type, Name, Data string }
		read(t, r, &in)
		send(w, 201, object{"domain_record": object{"id": z.add(full(in.Name), in.Data)}})
	})
	m.HandleFunc("DELETE /v2/domains/example.com/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !z.del(r.PathValue("id")) {
			w.WriteHeader(404)
			return
		}
		w.WriteHeader(204)
	})
	return wants(t, "Authorization", "Bearer do-token-1234567890", m)
}

func ovhStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /auth/time", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, time.Now().Unix()) })
	m.HandleFunc("GET /domain/zone/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != apex {
			send(w, 404, object{"class": "Client::NotFound", "message": "This service does not exist"})
			return
		}
		send(w, 200, object{"name": apex})
	})
	m.HandleFunc("GET /domain/zone/example.com/record", func(w http.ResponseWriter, r *http.Request) {
		ids := []int{}
		for _, c := range z.at(full(r.FormValue("subDomain"))) {
			ids = append(ids, c.id)
		}
		send(w, 200, ids)
	})
	m.HandleFunc("GET /domain/zone/example.com/record/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, c := range z.records {
			if strconv.Itoa(c.id) == r.PathValue("id") {
				send(w, 200, object{"id": c.id, "fieldType": "TXT", "target": quote(c.value)})
				return
			}
		}
		send(w, 404, object{"class": "Client::NotFound", "message": "The requested object does not exist"})
	})
	m.HandleFunc("POST /domain/zone/example.com/record", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SubDomain, Target string }
		read(t, r, &in)
		send(w, 200, object{"id": z.add(full(in.SubDomain), in.Target)})
	})
	m.HandleFunc("DELETE /domain/zone/example.com/record/{id}", func(w http.ResponseWriter, r *http.Request) {
		z.del(r.PathValue("id"))
		send(w, 200, nil)
	})
	m.HandleFunc("POST /domain/zone/example.com/refresh", func(w http.ResponseWriter, _ *http.Request) { send(w, 200, nil) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/auth/time" {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			at := r.Header.Get("X-Ovh-Timestamp")
			sum := sha1.Sum([]byte("ovh-secret-123+ovh-consumer-123+" + r.Method + "+http://" + r.Host + r.URL.RequestURI() + "+" + string(body) + "+" + at))
			if got := r.Header.Get("X-Ovh-Signature"); got != "$1$"+hex.EncodeToString(sum[:]) {
				t.Errorf("%s %s has a wrong signature", r.Method, r.URL)
			}
		}
		m.ServeHTTP(w, r)
	})
}

func hetznerStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	notFound := func(w http.ResponseWriter) {
		send(w, 404, object{"error": object{"code": "not_found", "message": "not found"}})
	}
	m.HandleFunc("GET /zones/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != apex {
			notFound(w)
			return
		}
		send(w, 200, object{"zone": object{"id": 42, "name": apex}})
	})
	m.HandleFunc("GET /zones/example.com/rrsets/{name}/TXT", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		for _, v := range quoted(z.at(full(r.PathValue("name")))) {
			l = append(l, object{"value": v})
		}
		if len(l) == 0 {
			notFound(w)
			return
		}
		send(w, 200, object{"rrset": object{"ttl": 120, "records": l}})
	})
	type body struct {
		TTL     int
		Records []struct{ Value string }
	}
	m.HandleFunc("POST /zones/example.com/rrsets/{name}/TXT/actions/add_records", func(w http.ResponseWriter, r *http.Request) {
		var in body
		read(t, r, &in)
		if (in.TTL == 0) != (len(z.at(full(r.PathValue("name")))) > 0) {
			t.Errorf("a TTL of %d is told", in.TTL)
		}
		z.add(full(r.PathValue("name")), bare(in.Records[0].Value))
		send(w, 201, object{"action": object{"id": 1, "status": "running"}})
	})
	m.HandleFunc("POST /zones/example.com/rrsets/{name}/TXT/actions/remove_records", func(w http.ResponseWriter, r *http.Request) {
		var in body
		read(t, r, &in)
		for _, c := range z.at(full(r.PathValue("name"))) {
			if quote(c.value) == in.Records[0].Value {
				z.del(strconv.Itoa(c.id))
			}
		}
		send(w, 201, object{"action": object{"id": 2, "status": "success"}})
	})
	m.HandleFunc("GET /actions/{id}", func(w http.ResponseWriter, _ *http.Request) {
		send(w, 200, object{"action": object{"id": 1, "status": "success"}})
	})
	return wants(t, "Authorization", "Bearer hetzner-token-123", m)
}

func linodeStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /domains", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		if r.Header.Get("X-Filter") == `{"domain":"example.com"}` {
			l = append(l, object{"id": 1234, "domain": apex})
		}
		send(w, 200, object{"data": l, "page": 1, "pages": 1})
	})
	m.HandleFunc("GET /domains/1234/records", func(w http.ResponseWriter, _ *http.Request) {
		l := []any{}
		for _, c := range z.records {
			l = append(l, object{"id": c.id, "type": "TXT", "name": rel(c.name), "target": c.value})
		}
		send(w, 200, object{"data": l, "page": 1, "pages": 1})
	})
	m.HandleFunc("POST /domains/1234/records", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name, Target string }
		read(t, r, &in)
		send(w, 200, object{"id": z.add(full(in.Name), in.Target)})
	})
	m.HandleFunc("DELETE /domains/1234/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		z.del(r.PathValue("id"))
		send(w, 200, object{})
	})
	return wants(t, "Authorization", "Bearer linode-token-123", m)
}

func scalewayStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /domain/v2beta1/dns-zones", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		if r.FormValue("dns_zones") == apex {
			l = append(l, object{"domain": apex, "subdomain": ""})
		}
		send(w, 200, object{"dns_zones": l})
	})
	m.HandleFunc("GET /domain/v2beta1/dns-zones/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		for _, c := range z.at(full(r.FormValue("name"))) {
			l = append(l, object{"id": strconv.Itoa(c.id), "name": rel(c.name), "type": "TXT", "data": quote(c.value)})
		}
		send(w, 200, object{"records": l})
	})
	m.HandleFunc("PATCH /domain/v2beta1/dns-zones/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Changes []struct {
				Add    struct{ Records []struct{ Name, Data string } }
				Delete struct{ ID string }
			}
			DisallowNewZoneCreation bool `json:"disallow_new_zone_creation"`
		}
		read(t, r, &in)
		if !in.DisallowNewZoneCreation {
			t.Error("the change could make a new zone")
		}
		for _, c := range in.Changes {
			for _, a := range c.Add.Records {
				z.add(full(a.Name), bare(a.Data))
			}
			z.del(c.Delete.ID)
		}
		send(w, 200, object{"records": []any{}})
	})
	return wants(t, "X-Auth-Token", "scaleway-secret-123", m)
}

func porkbunStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	keys := func(w http.ResponseWriter, in map[string]string) bool {
		if in["apikey"] != "pk1_1234567890" || in["secretapikey"] != "sk1_1234567890" {
			send(w, 400, object{"status": "ERROR", "message": "Invalid API key. (002)"})
			return false
		}
		return true
	}
	m.HandleFunc("POST /dns/retrieveByNameType/{zone}/{type}/{sub...}", func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		if read(t, r, &in); !keys(w, in) {
			return
		}
		if r.PathValue("zone") != apex {
			send(w, 400, object{"status": "ERROR", "message": "Invalid domain."})
			return
		}
		l := []any{}
		if r.PathValue("type") == "TXT" {
			for _, c := range z.at(full(r.PathValue("sub"))) {
				l = append(l, object{"id": strconv.Itoa(c.id), "name": c.name, "type": "TXT", "content": c.value, "ttl": "600"})
			}
		}
		send(w, 200, object{"status": "SUCCESS", "records": l})
	})
	m.HandleFunc("POST /dns/retrieveByNameType/{zone}/NS", func(w http.ResponseWriter, r *http.Request) {
		r.SetPathValue("type", "NS")
		var in map[string]string
		if read(t, r, &in); !keys(w, in) {
			return
		}
		if r.PathValue("zone") != apex {
			send(w, 400, object{"status": "ERROR", "message": "Invalid domain."})
			return
		}
		send(w, 200, object{"status": "SUCCESS", "records": []any{}})
	})
	m.HandleFunc("POST /dns/create/example.com", func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		if read(t, r, &in); keys(w, in) {
			send(w, 200, object{"status": "SUCCESS", "id": z.add(full(in["name"]), in["content"])})
		}
	})
	m.HandleFunc("POST /dns/delete/example.com/{id}", func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		if read(t, r, &in); !keys(w, in) {
			return
		}
		if !z.del(r.PathValue("id")) {
			send(w, 400, object{"status": "ERROR", "message": "Invalid record ID."})
			return
		}
		send(w, 200, object{"status": "SUCCESS"})
	})
	return m
}

func ionosStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	const id = "11af3414-ebba-11e9-8df5-66fbe8a334b4"
	m.HandleFunc("GET /v1/zones", func(w http.ResponseWriter, _ *http.Request) {
		send(w, 200, []any{object{"id": "other", "name": "ample.com"}, object{"id": id, "name": apex, "type": "NATIVE"}})
	})
	m.HandleFunc("GET /v1/zones/"+id, func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		for _, c := range z.at(r.FormValue("recordName")) {
			l = append(l, object{"id": strconv.Itoa(c.id), "name": c.name, "type": "TXT", "content": quote(c.value)})
		}
		send(w, 200, object{"id": id, "name": apex, "records": l})
	})
	m.HandleFunc("POST /v1/zones/"+id+"/records", func(w http.ResponseWriter, r *http.Request) {
		var in []struct{ Name, Content string }
		read(t, r, &in)
		for _, c := range in {
			z.add(c.Name, c.Content)
		}
		send(w, 201, []any{})
	})
	m.HandleFunc("DELETE /v1/zones/"+id+"/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !z.del(r.PathValue("id")) {
			send(w, 404, []any{object{"code": "RECORD_NOT_FOUND", "message": "Record does not exist."}})
		}
	})
	return wants(t, "X-API-Key", "ionos.secret-123", m)
}

func vultrStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /domains/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != apex {
			send(w, 404, object{"error": "Invalid domain.", "status": 404})
			return
		}
		send(w, 200, object{"domain": object{"domain": apex}})
	})
	m.HandleFunc("GET /domains/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		// Two pages, so that a list that goes on is followed.
		l, next := []any{object{"id": "a", "type": "A", "name": "", "data": "192.0.2.1"}}, "bmV4dA=="
		if r.FormValue("cursor") == next {
			next = ""
			for _, c := range z.records {
				l = append(l, object{"id": strconv.Itoa(c.id), "type": "TXT", "name": rel(c.name), "data": quote(c.value)})
			}
		}
		send(w, 200, object{"records": l, "meta": object{"total": 2, "links": object{"next": next, "prev": ""}}})
	})
	m.HandleFunc("POST /domains/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name, Data string }
		read(t, r, &in)
		send(w, 201, object{"record": object{"id": strconv.Itoa(z.add(full(in.Name), bare(in.Data)))}})
	})
	m.HandleFunc("DELETE /domains/example.com/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		z.del(r.PathValue("id"))
		w.WriteHeader(204)
	})
	return wants(t, "Authorization", "Bearer vultr-key-123", m)
}

package legochild

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func same(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func route53Standin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /2013-04-01/hostedzonesbyname", func(w http.ResponseWriter, r *http.Request) {
		// Route 53 lists from the name on, in its order; the zone that is asked for comes first when it is there.
		_, _ = fmt.Fprint(w, `<?xml version="1.0"?><ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>`)
		if r.FormValue("dnsname") == apex {
			_, _ = fmt.Fprint(w, `<HostedZone><Id>/hostedzone/ZPRIVATE</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone>`,
				`<HostedZone><Id>/hostedzone/Z111</Id><Name>example.com.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone>`)
		}
		_, _ = fmt.Fprint(w, `<HostedZone><Id>/hostedzone/Z999</Id><Name>zzz.net.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>`)
	})
	m.HandleFunc("GET /2013-04-01/hostedzone/Z111/rrset", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, `<ListResourceRecordSetsResponse><ResourceRecordSets>`)
		if rs := z.at(r.FormValue("name")); len(rs) > 0 {
			_, _ = fmt.Fprintf(w, `<ResourceRecordSet><Name>%s.</Name><Type>TXT</Type><TTL>300</TTL><ResourceRecords>`, r.FormValue("name"))
			for _, v := range quoted(rs) {
				_, _ = fmt.Fprintf(w, `<ResourceRecord><Value>%s</Value></ResourceRecord>`, v)
			}
			_, _ = fmt.Fprint(w, `</ResourceRecords></ResourceRecordSet>`)
		} else {
			_, _ = fmt.Fprint(w, `<ResourceRecordSet><Name>zz.example.com.</Name><Type>TXT</Type><TTL>1</TTL><ResourceRecords><ResourceRecord><Value>"no"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`)
		}
		_, _ = fmt.Fprint(w, `</ResourceRecordSets></ListResourceRecordSetsResponse>`)
	})
	m.HandleFunc("POST /2013-04-01/hostedzone/Z111/rrset/", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			XMLName xml.Name `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
			Changes []struct {
				Action string
				Set    route53Set `xml:"ResourceRecordSet"`
			} `xml:"ChangeBatch>Changes>Change"`
		}
		b, _ := io.ReadAll(r.Body)
		if err := xml.Unmarshal(b, &in); err != nil {
			t.Errorf("change: %v", err)
		}
		refuse := func(text string) {
			w.WriteHeader(400)
			_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>%s</Message></Messages></InvalidChangeBatch>`, text)
		}
		deleted := false
		for _, c := range in.Changes {
			n := strings.TrimSuffix(c.Set.Name, ".")
			have := quoted(z.at(n))
			switch c.Action {
			case "DELETE":
				if !same(have, c.Set.Data) || c.Set.TTL != 300 && c.Set.TTL != 10 {
					refuse("Tried to delete resource record set [name='" + n + ".', type='TXT'] but the values provided do not match the current values")
					return
				}
				deleted = true
			case "CREATE":
				if len(have) > 0 && !deleted {
					refuse("Tried to create resource record set [name='" + n + ".', type='TXT'] but it already exists")
					return
				}
			default:
				t.Errorf("action %s does not compare", c.Action)
			}
		}
		for _, c := range in.Changes {
			n := strings.TrimSuffix(c.Set.Name, ".")
			if c.Action == "DELETE" {
				z.set(n, nil)
			} else {
				z.set(n, c.Set.Data)
			}
		}
		_, _ = fmt.Fprint(w, `<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>`)
	})
	return wants(t, "Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/", m)
}

func gcloudStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /projects/prod/managedZones", func(w http.ResponseWriter, r *http.Request) {
		l := []any{}
		if r.FormValue("dnsName") == "example.com." {
			l = append(l, object{"name": "hidden", "dnsName": "example.com.", "visibility": "private"}, object{"name": "web", "dnsName": "example.com.", "visibility": "public"})
		}
		send(w, 200, object{"managedZones": l})
	})
	m.HandleFunc("GET /projects/prod/managedZones/web/rrsets", func(w http.ResponseWriter, r *http.Request) {
		n := r.FormValue("name")
		l := []any{}
		if rs := z.at(strings.TrimSuffix(n, ".")); len(rs) > 0 {
			l = append(l, object{"name": n, "type": "TXT", "ttl": 300, "rrdatas": quoted(rs)})
		}
		send(w, 200, object{"rrsets": l})
	})
	m.HandleFunc("POST /projects/prod/managedZones/web/changes", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Additions, Deletions []gcloudSet }
		read(t, r, &in)
		fail := func(status int, reason string) {
			send(w, status, object{"error": object{"code": status, "message": "Precondition not met for 'entity.change.deletions[0]'", "errors": []any{object{"reason": reason}}}})
		}
		for _, d := range in.Deletions {
			if !same(d.Data, quoted(z.at(strings.TrimSuffix(d.Name, ".")))) {
				fail(412, "conditionNotMet")
				return
			}
		}
		for _, a := range in.Additions {
			if len(in.Deletions) == 0 && len(z.at(strings.TrimSuffix(a.Name, "."))) > 0 {
				fail(409, "alreadyExists")
				return
			}
		}
		for _, d := range in.Deletions {
			z.set(strings.TrimSuffix(d.Name, "."), nil)
		}
		for _, a := range in.Additions {
			z.set(strings.TrimSuffix(a.Name, "."), a.Data)
		}
		send(w, 200, object{"id": "1", "status": "pending"})
	})
	return wants(t, "Authorization", "Bearer ya29.google-token", m)
}

func gandiStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	notFound := object{"code": 404, "cause": "Not Found", "message": "Can't find the DNS record", "object": "dns-record"}
	m.HandleFunc("GET /domains/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != apex {
			send(w, 404, object{"code": 404, "cause": "Not Found", "message": "Unknown domain", "object": "dns-domain"})
			return
		}
		send(w, 200, object{"fqdn": apex})
	})
	const path = " /domains/example.com/records/{name}/TXT"
	m.HandleFunc("GET"+path, func(w http.ResponseWriter, r *http.Request) {
		rs := z.at(full(r.PathValue("name")))
		if len(rs) == 0 {
			send(w, 404, notFound)
			return
		}
		send(w, 200, object{"rrset_name": r.PathValue("name"), "rrset_type": "TXT", "rrset_ttl": 300, "rrset_values": quoted(rs)})
	})
	put := func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Values []string `json:"rrset_values"`
		}
		read(t, r, &in)
		n := full(r.PathValue("name"))
		if r.Method == http.MethodPost && len(z.at(n)) > 0 {
			send(w, 409, object{"code": 409, "cause": "Conflict", "message": "A DNS Record already exists with same value"})
			return
		}
		z.set(n, in.Values)
		send(w, 201, object{"message": "DNS Record Created"})
	}
	m.HandleFunc("POST"+path, put)
	m.HandleFunc("PUT"+path, put)
	m.HandleFunc("DELETE"+path, func(w http.ResponseWriter, r *http.Request) {
		z.set(full(r.PathValue("name")), nil)
		w.WriteHeader(204)
	})
	return wants(t, "Authorization", "Bearer gandi-token-123", m)
}

func godaddyStandin(t *testing.T, z *zone) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/domains/{zone}/records/NS/@", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("zone") != apex {
			send(w, 404, object{"code": "UNKNOWN_DOMAIN", "message": "The given domain is not registered, or does not have a zone file"})
			return
		}
		send(w, 200, []any{})
	})
	m.HandleFunc("GET /v1/domains/example.com/records/TXT/{name}", func(w http.ResponseWriter, r *http.Request) {
		l := []any{object{"data": "", "name": r.PathValue("name"), "ttl": 600, "type": "TXT"}}
		for _, c := range z.at(full(r.PathValue("name"))) {
			l = append(l, object{"data": c.value, "name": r.PathValue("name"), "ttl": 600, "type": "TXT"})
		}
		send(w, 200, l)
	})
	m.HandleFunc("PATCH /v1/domains/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		var in []godaddyRecord
		read(t, r, &in)
		for _, c := range in {
			z.add(full(c.Name), c.Data)
		}
	})
	m.HandleFunc("PUT /v1/domains/example.com/records/TXT/{name}", func(_ http.ResponseWriter, r *http.Request) {
		var in []godaddyRecord
		read(t, r, &in)
		var vs []string
		for _, c := range in {
			vs = append(vs, c.Data)
		}
		z.set(full(r.PathValue("name")), vs)
	})
	m.HandleFunc("DELETE /v1/domains/example.com/records/TXT/{name}", func(w http.ResponseWriter, r *http.Request) {
		z.set(full(r.PathValue("name")), nil)
		w.WriteHeader(204)
	})
	return wants(t, "Authorization", "sso-key godaddy-key:godaddy-secret", m)
}

func namecheapStandin(t *testing.T, z *zone) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			t.Error("the key travels in the address")
		}
		if r.FormValue("ApiKey") != "namecheap-key-123" || r.FormValue("ClientIp") != "192.0.2.7" || r.FormValue("UserName") != "ana" {
			t.Errorf("credentials: %v", r.Form)
		}
		if r.FormValue("SLD")+"."+r.FormValue("TLD") != apex {
			_, _ = fmt.Fprint(w, `<ApiResponse Status="ERROR"><Errors><Error Number="2019166">Domain not found</Error></Errors></ApiResponse>`)
			return
		}
		switch r.FormValue("Command") {
		case "namecheap.domains.dns.getHosts":
			_, _ = fmt.Fprint(w, `<ApiResponse Status="OK" xmlns="http://api.namecheap.com/xml.response"><Errors /><CommandResponse><DomainDNSGetHostsResult Domain="example.com" EmailType="MXE" IsUsingOurDNS="true"><host HostId="1" Name="www" Type="A" Address="10.0.0.2" MXPref="10" TTL="1200" />`)
			for _, c := range z.records {
				_, _ = fmt.Fprintf(w, `<host HostId="%d" Name="%s" Type="TXT" Address="%s" MXPref="10" TTL="60" />`, c.id, rel(c.name), c.value)
			}
			_, _ = fmt.Fprint(w, `</DomainDNSGetHostsResult></CommandResponse></ApiResponse>`)
		case "namecheap.domains.dns.setHosts":
			if r.FormValue("EmailType") != "MXE" || r.FormValue("HostName1") != "www" || r.FormValue("Address1") != "10.0.0.2" {
				t.Errorf("the domain's other records or its mail would be lost: %v", r.Form)
			}
			z.records = nil
			for i := 1; r.FormValue("HostName"+strconv.Itoa(i)) != ""; i++ {
				if n := strconv.Itoa(i); r.FormValue("RecordType"+n) == "TXT" {
					z.add(full(r.FormValue("HostName"+n)), r.FormValue("Address"+n))
				}
			}
			_, _ = fmt.Fprint(w, `<ApiResponse Status="OK"><Errors /><CommandResponse><DomainDNSSetHostsResult Domain="example.com" IsSuccess="true" /></CommandResponse></ApiResponse>`)
		}
	})
}

// pdnsStandin is a server that knows EXTEND and PRUNE, or one that does not.
func pdnsStandin(old bool) func(t *testing.T, z *zone) http.Handler {
	return func(t *testing.T, z *zone) http.Handler {
		m := http.NewServeMux()
		m.HandleFunc("GET /api/v1/servers/localhost/zones/{zone}", func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("zone") != "example.com." {
				send(w, 404, object{"error": "Not Found"})
				return
			}
			l := []any{object{"name": "example.com.", "type": "SOA", "ttl": 1, "records": []any{object{"content": "x"}}}}
			if rs := z.at(name); len(rs) > 0 {
				var cs []any
				for _, v := range quoted(rs) {
					cs = append(cs, object{"content": v, "disabled": false})
				}
				l = append(l, object{"name": name + ".", "type": "TXT", "ttl": 60, "records": cs})
			}
			send(w, 200, object{"name": "example.com.", "kind": "Native", "rrsets": l})
		})
		m.HandleFunc("PATCH /api/v1/servers/localhost/zones/example.com.", func(w http.ResponseWriter, r *http.Request) {
			var in struct{ RRsets []pdnsSet }
			read(t, r, &in)
			for _, s := range in.RRsets {
				n := strings.TrimSuffix(s.Name, ".")
				var vs []string
				for _, c := range s.Records {
					vs = append(vs, c.Content)
				}
				switch s.Change {
				case "REPLACE", "DELETE":
					z.set(n, vs)
				case "EXTEND", "PRUNE":
					if old {
						send(w, 422, object{"error": "Changetype not understood"})
						return
					}
					if s.Change == "EXTEND" {
						z.add(n, bare(vs[0]))
						continue
					}
					for _, c := range z.at(n) {
						if quote(c.value) == vs[0] {
							z.del(strconv.Itoa(c.id))
						}
					}
				}
			}
			w.WriteHeader(204)
		})
		m.HandleFunc("PUT /api/v1/servers/localhost/zones/example.com./notify", func(w http.ResponseWriter, _ *http.Request) {
			send(w, 400, object{"error": "Domain 'example.com.' is not a master domain (or slave domain with notify flag)"})
		})
		return wants(t, "X-API-Key", "pdns-key-123", m)
	}
}

package legochild

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/notafter/notafter/internal/assure"
)

// Namecheap can only write all records of a domain at once, and cannot compare first.
// https://www.namecheap.com/support/api/methods/domains-dns/set-hosts/
const (
	namecheapBase    = "https://api.namecheap.com/xml.response"
	namecheapSandbox = "https://api.sandbox.namecheap.com/xml.response"
	// namecheapAddress tells from which address requests come, which Namecheap wants to be told.
	namecheapAddress = "https://dynamicdns.park-your-domain.com/getip"
)

func openNamecheap(s Settings) (writer, error) {
	base := namecheapBase
	if s.get("NAMECHEAP_SANDBOX") == "true" {
		base = namecheapSandbox
	}
	base, err := endpoint(orElse(s.get("NAMECHEAP_API_URL"), base), false)
	if err != nil {
		return nil, err
	}
	p := &namecheap{
		api: newAPI("Namecheap", base, nil, sayNamecheap), user: s.get("NAMECHEAP_API_USER"), key: s.get("NAMECHEAP_API_KEY"),
		from: s.get("NAMECHEAP_CLIENT_IP"), ttl: max(60, s.whole("NAMECHEAP_TTL", 120)),
	}
	if p.from != "" && net.ParseIP(p.from) == nil {
		return nil, fmt.Errorf("NAMECHEAP_CLIENT_IP is not an address")
	}
	return p, nil
}

// sayNamecheap reads the number of an error; the status is 200 for most of them.
// https://www.namecheap.com/support/api/error-codes/
func sayNamecheap(status int, body []byte) (s said) {
	var e struct {
		Status string `xml:"Status,attr"`
		Errors []struct {
			Number string `xml:"Number,attr"`
			Text   string `xml:",chardata"`
		} `xml:"Errors>Error"`
	}
	if xml.Unmarshal(body, &e) != nil {
		if status == http.StatusMethodNotAllowed { // what its gateway says to too many
			s.class = assure.TroubleThrottled
		}
		return s
	}
	if len(e.Errors) == 0 && e.Status == "OK" {
		return s
	}
	s.bad = true
	if len(e.Errors) == 0 {
		return s
	}
	s.code, s.text = e.Errors[0].Number, e.Errors[0].Text
	switch s.code {
	case "1011102", "1010102", "1010101", "1010105": // key or user invalid, missing or disabled
		s.class = assure.TroubleExpired
	case "1011150", "1011148", "1050900", "1017150", "1017101": // address not allowed, not granted, user disabled
		s.class = assure.TroubleDenied
	case "2019166", "2016166", "2030166": // domain not found, not on Namecheap's servers, not in the account
		s.class = assure.TroubleMissing
	case "500000", "1091148":
		s.class = assure.TroubleThrottled
	case "3031510", "3050900", "4022288", "5050900":
		s.class = assure.TroubleTransient
	}
	return s
}

type namecheap struct {
	*api
	user, key, from string
	ttl             int
}

type namecheapHost struct {
	Name    string `xml:"Name,attr"`
	Type    string `xml:"Type,attr"`
	Address string `xml:"Address,attr"`
	MXPref  string `xml:"MXPref,attr"`
	TTL     string `xml:"TTL,attr"`
}

// ask sends a command. The key is in the body, never in the address, which is logged on the way.
func (p *namecheap) ask(ctx context.Context, command, domain string, more url.Values, out any) error {
	if p.from == "" {
		ip, err := p.address(ctx)
		if err != nil {
			return err
		}
		p.from = ip
	}
	sld, tld, _ := strings.Cut(domain, ".")
	v := url.Values{
		"ApiUser": {p.user}, "ApiKey": {p.key}, "UserName": {p.user}, "ClientIp": {p.from},
		"Command": {"namecheap.domains.dns." + command}, "SLD": {sld}, "TLD": {tld},
	}
	for k, x := range more {
		v[k] = x
	}
	err := p.call(ctx, http.MethodPost, "", v, xmlOut{out})
	if t := troubleIn(err); t != nil {
		t.Action, t.Happened = command, t.Happened && command == "setHosts"
	}
	return err
}

func (p *namecheap) address(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, namecheapAddress, nil)
	if err != nil {
		return "", fmt.Errorf("ask for the own address: %w", err)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return "", p.unanswered("ask for the own address", http.MethodGet, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(res.Body, 100))
	ip := strings.TrimSpace(string(b))
	if net.ParseIP(ip) == nil {
		return "", p.broken("ask for the own address", "the service that tells the own address answered nonsense; set NAMECHEAP_CLIENT_IP")
	}
	return ip, nil
}

func (p *namecheap) present(ctx context.Context, name, value string) error {
	return p.change(ctx, name, func(hosts []namecheapHost, sub string) ([]namecheapHost, bool) {
		for _, h := range hosts {
			if h.Type == "TXT" && h.Name == sub && bare(h.Address) == value {
				return hosts, false
			}
		}
		return append(hosts, namecheapHost{sub, "TXT", value, "10", strconv.Itoa(p.ttl)}), true
	})
}

func (p *namecheap) withdraw(ctx context.Context, name, value string) error {
	return p.change(ctx, name, func(hosts []namecheapHost, sub string) (kept []namecheapHost, _ bool) {
		for _, h := range hosts {
			if h.Type != "TXT" || h.Name != sub || bare(h.Address) != value {
				kept = append(kept, h)
			}
		}
		return kept, len(kept) != len(hosts)
	})
}

func (p *namecheap) change(ctx context.Context, name string, edit func([]namecheapHost, string) ([]namecheapHost, bool)) error {
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return noZone(name)
	}
	sub := orElse(strings.TrimSuffix(strings.TrimSuffix(name, domain), "."), "@")
	var got struct {
		Result struct {
			EmailType string          `xml:"EmailType,attr"`
			OurDNS    string          `xml:"IsUsingOurDNS,attr"`
			Hosts     []namecheapHost `xml:"host"`
		} `xml:"CommandResponse>DomainDNSGetHostsResult"`
	}
	if err := p.ask(ctx, "getHosts", domain, nil, &got); err != nil {
		return err
	}
	if got.Result.OurDNS != "true" {
		return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleMissing, Scope: domain, Detail: domain + " is not served by Namecheap's name servers"}
	}
	hosts, changed := edit(got.Result.Hosts, sub)
	if !changed {
		return nil
	}
	v := url.Values{}
	if got.Result.EmailType != "" { // left out, it would turn the domain's mail off
		v.Set("EmailType", got.Result.EmailType)
	}
	for i, h := range hosts {
		n := strconv.Itoa(i + 1)
		v.Set("HostName"+n, h.Name)
		v.Set("RecordType"+n, h.Type)
		v.Set("Address"+n, h.Address)
		v.Set("MXPref"+n, h.MXPref)
		v.Set("TTL"+n, h.TTL)
	}
	var set struct {
		Result struct {
			OK string `xml:"IsSuccess,attr"`
		} `xml:"CommandResponse>DomainDNSSetHostsResult"`
	}
	if err := p.ask(ctx, "setHosts", domain, v, &set); err != nil {
		return err
	}
	if set.Result.OK != "true" {
		return p.broken("setHosts", "Namecheap did not say that the records were set")
	}
	return nil
}

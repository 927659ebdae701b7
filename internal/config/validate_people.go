package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (v *validator) channels() {
	if len(v.c.Channels) == 0 && !v.complained("channels") {
		v.bad("channels", "nobody to tell: at least one channel is needed")
	}
	for _, name := range sortedKeys(v.c.Channels) {
		key := join("channels", name)
		v.label(key, name)
		c := v.c.Channels[name]
		if c.Kind() == "" {
			kinds := make([]string, 0, 7)
			given := 0
			for _, f := range channelFields {
				kinds = append(kinds, f.key)
				if v.given(join(key, f.key)) {
					given++
				}
			}
			switch {
			case given == 0 && !v.complained(key):
				v.bad(key, "says nothing; want one of %s", strings.Join(kinds, ", "))
			case given > 1:
				v.bad(key, "is of more than one kind; a channel is exactly one of %s", strings.Join(kinds, ", "))
			}
		}
		if c.SMTP != nil {
			v.smtp(key+".smtp", c.SMTP)
		}
		if c.Alertmanager != nil {
			if len(c.Alertmanager.URLs) == 0 && v.given(key+".alertmanager.urls") && !v.complained(key+".alertmanager.urls") {
				v.bad(key+".alertmanager.urls", "is empty: want the address of every replica")
			}
			for _, l := range sortedKeys(c.Alertmanager.Labels) {
				if !labelName.MatchString(l) {
					v.bad(join(key+".alertmanager.labels", l), "is not a label name of Prometheus (letters, digits and _, not a digit first)")
				}
			}
		}
		if c.Ntfy != nil {
			if t := c.Ntfy.Topic.Value(); t != "" && !topicName.MatchString(t) {
				v.bad(key+".ntfy.topic", "is not a topic of ntfy (1 to 64 letters, digits, _ and -)")
			}
		}
	}
}

// labelName is what the Prometheus data model allows for labels; topicName is ntfy's rule for topics.
var (
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	topicName = regexp.MustCompile(`^[-_A-Za-z0-9]{1,64}$`)
)

// complained reports whether something under key was already found wrong.
func (v *validator) complained(key string) bool {
	return slices.ContainsFunc(v.problems, func(p Problem) bool {
		return p.Key == key || strings.HasPrefix(p.Key, key+".") || strings.HasPrefix(p.Key, key+"[")
	})
}

func (v *validator) smtp(key string, s *SMTP) {
	if s.Server != "" {
		host, port, err := MailServer(*s)
		switch {
		case err != nil:
			v.bad(key+".server", "%s", err)
		case s.TLS == MailNone && !loopbackHost(host):
			v.bad(key+".tls", "none would send mail, and any password, in clear text to another machine; use starttls or implicit")
		case s.TLS != MailImplicit && port == 465:
			v.bad(key+".tls", "port 465 speaks TLS from the start; set tls: implicit")
		}
	}
	if s.From != "" {
		if err := mailAddress(s.From); err != nil {
			v.bad(key+".from", "%s", err)
		}
	}
	if len(s.To) == 0 && v.given(key+".to") && !v.complained(key+".to") {
		v.bad(key+".to", "is empty: want at least one address")
	}
	for i, to := range s.To {
		if to == "" {
			continue
		}
		if err := mailAddress(to); err != nil {
			v.bad(fmt.Sprintf("%s.to[%d]", key, i), "%s", err)
		}
	}
	if (s.User == "") != s.Password.IsZero() && !v.complained(key+".password") && !v.complained(key+".user") {
		v.bad(key, "user and password go together")
	}
}

// MailServer gives host and port of a mail server: 587 (RFC 6409), or 465 with TLS from the start (RFC 8314), where no
// port is named.
func MailServer(s SMTP) (host string, port int, err error) {
	host, port = s.Server, 587
	if s.TLS == MailImplicit {
		port = 465
	}
	if h, p, serr := net.SplitHostPort(s.Server); serr == nil {
		n, perr := strconv.ParseUint(p, 10, 16)
		if perr != nil || n == 0 {
			return "", 0, fmt.Errorf("the port of %s is not a number from 1 to 65535", quote(s.Server))
		}
		host, port = h, int(n)
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if host == "" || strings.ContainsAny(host, " /@\t") || strings.Contains(host, "://") {
		return "", 0, fmt.Errorf("%s is not a host, with or without a port", quote(s.Server))
	}
	return host, port, nil
}

func (v *validator) routes() {
	known := sortedKeys(v.c.Channels)
	used := map[string]bool{}
	for _, name := range sortedKeys(v.c.Routes) {
		key := join("routes", name)
		v.label(key, name)
		r := v.c.Routes[name]
		if r.OnCall != "" {
			v.bad(key+".oncall", "no schedule %s is declared: this version has no schedules yet and tells the channels directly; leave the key out", quote(r.OnCall))
		}
		if r.Mode == ModeBackstop {
			v.bad(key+".mode", "this version cannot stand in as a backstop yet; use own or defer")
		}
		if len(r.Channels) == 0 && v.given(key+".channels") && !v.complained(key+".channels") {
			v.bad(key+".channels", "nobody to tell: at least one channel is needed")
		}
		seen := map[string]bool{}
		for i, c := range r.Channels {
			at := fmt.Sprintf("%s.channels[%d]", key, i)
			used[c] = true
			switch {
			case c == "":
			case !slices.Contains(known, c):
				v.bad(at, "no channel %s is declared%s", quote(c), suggest(c, known))
			case seen[c]:
				v.bad(at, "the channel %s is listed twice", quote(c))
			}
			seen[c] = true
		}
	}
	for _, c := range known {
		if !used[c] {
			v.note(join("channels", c), "no route uses this channel")
		}
	}
	def := v.c.DefaultRoute
	_, exists := v.c.Routes[def]
	switch {
	case def != "" && !exists && v.given("default_route"):
		v.bad("default_route", "no route %s is declared%s", quote(def), suggest(def, sortedKeys(v.c.Routes)))
	case def == "" && len(v.c.Routes) > 0 && !v.given("default_route"):
		v.bad("routes", `there are several and none is named "default"; say with default_route which one is for what names none, notafter itself included`)
	}
}

var channelFields = fieldsOf(channelType)

package iac

import (
	"slices"
	"strconv"
	"strings"
)

// pathReaders read the way of an HTTP-01 challenge: the authority asks the host's address on port 80 (RFC 8555 section
// 8.3). All of it counts only where a certificate is validated that way: one of the inventory ([Tie.Challenge]), or an
// issuer of the plan. A web application firewall, a redirect or a rule by country is not read.
var pathReaders = map[string]reader{
	"aws_lb_listener":                       awsListener,
	"aws_alb_listener":                      awsListener,
	"aws_security_group":                    awsSecurityGroup,
	"aws_security_group_rule":               awsSecurityRule,
	"aws_vpc_security_group_ingress_rule":   awsIngressRule,
	"azurerm_lb_rule":                       azureBalancerRule,
	"azurerm_application_gateway":           azureGateway,
	"azurerm_network_security_rule":         azureSecurityRule,
	"azurerm_network_security_group":        azureSecurityGroup,
	"google_compute_forwarding_rule":        googleForwarding,
	"google_compute_global_forwarding_rule": googleForwarding,
	"google_compute_firewall":               googleFirewall,
	"kubernetes_ingress":                    ingress,
	"kubernetes_ingress_v1":                 ingress,
	"kubernetes_service":                    balancer,
	"kubernetes_service_v1":                 balancer,
	"azurerm_dns_a_record":                  azureAddress,
	"azurerm_dns_cname_record":              azureAddress,
	"azurerm_dns_aaaa_record":               azureAddress,
	"aws_route53_record":                    awsAddress,
	"cloudflare_record":                     cloudflareAddress,
	"cloudflare_dns_record":                 cloudflareAddress,
	"google_dns_record_set":                 googleAddress,
}

const http01 = "http-01"

// door is the tie of something that lets port 80 in, by what it belongs to. Who comes through is not in a plan.
func (s *State) door(r *Side, what, owner string, unknown ...Part) []Tie {
	t := Tie{
		Kind: KindPath, Principal: "port 80 of " + what + " " + strings.ToLower(owner), Who: "port 80 of " + what + " " + owner, Unknown: unknown, ID: r.Text("id"),
		Effect: "the authority no longer reaches what is behind it to validate names by HTTP", Challenge: http01,
		Doubt: "whether challenges come this way is not in the plan",
	}
	if s.http01() {
		t.Challenge = ""
	}
	return []Tie{t}
}

// unless gives the part of a tie that is not known when one of the attributes is not.
func unless(r *Side, part Part, attributes ...string) []Part {
	for _, a := range attributes {
		if !r.Known(a) {
			return []Part{part}
		}
	}
	return nil
}

// open80 reports whether a range of ports holds port 80: "80", "80-443", "*".
func open80(ports string) bool {
	ports = strings.TrimSpace(ports)
	if ports == "*" || ports == "" {
		return ports == "*"
	}
	from, to, ok := strings.Cut(ports, "-")
	if !ok {
		to = from
	}
	a, err := strconv.Atoi(strings.TrimSpace(from))
	b, err2 := strconv.Atoi(strings.TrimSpace(to))
	return err == nil && err2 == nil && a <= 80 && 80 <= b
}

// anywhere reports whether sources of packets are the whole Internet.
func anywhere(sources []string) bool {
	return slices.ContainsFunc(sources, func(s string) bool {
		switch strings.ToLower(s) {
		case "0.0.0.0/0", "::/0", "*", "internet", "any", "0.0.0.0", "0::/0":
			return true
		}
		return false
	})
}

func awsListener(st *State, r *Side) []Tie {
	if r.Text("port") != "80" {
		return nil
	}
	return st.door(r, "load balancer", last2(r.Text("load_balancer_arn")), unless(r, PartPrincipal, "load_balancer_arn")...)
}

// last2 is the name that people know in an ARN such as ".../app/NAME/ID".
func last2(arn string) string {
	parts := strings.Split(arn, "/")
	if len(parts) > 2 {
		return strings.Join(parts[len(parts)-2:], "/")
	}
	return arn
}

// awsOpen reports whether a rule of a security group lets port 80 in from everywhere.
func awsOpen(protocol, from, to string, sources []string) bool {
	return (protocol == "-1" || protocol == "all" || strings.EqualFold(protocol, "tcp") && open80(from+"-"+to) || protocol == "6" && open80(from+"-"+to)) && anywhere(sources)
}

func awsSecurityGroup(st *State, r *Side) []Tie {
	for i := range r.Len("ingress") {
		get := func(a string) string { return r.Text("ingress", i, a) }
		if awsOpen(get("protocol"), get("from_port"), get("to_port"), append(r.Texts("ingress", i, "cidr_blocks"), r.Texts("ingress", i, "ipv6_cidr_blocks")...)) {
			return st.door(r, "security group", r.Text("id"), unless(r, PartPrincipal, "id")...)
		}
	}
	if !r.Known("ingress") {
		return st.door(r, "security group", r.Text("id"), PartPrincipal)
	}
	return nil
}

func awsSecurityRule(st *State, r *Side) []Tie {
	if r.Text("type") != "ingress" || !awsOpen(r.Text("protocol"), r.Text("from_port"), r.Text("to_port"), append(r.Texts("cidr_blocks"), r.Texts("ipv6_cidr_blocks")...)) {
		return nil
	}
	t := st.door(r, "security group", r.Text("security_group_id"), unless(r, PartPrincipal, "security_group_id")...)
	t[0].ID = "" // of rules it is made from their content, and equal ones of two addresses are one
	return t
}

func awsIngressRule(st *State, r *Side) []Tie {
	if !awsOpen(r.Text("ip_protocol"), r.Text("from_port"), r.Text("to_port"), []string{r.Text("cidr_ipv4"), r.Text("cidr_ipv6")}) {
		return nil
	}
	return st.door(r, "security group", r.Text("security_group_id"), unless(r, PartPrincipal, "security_group_id")...)
}

func azureBalancerRule(st *State, r *Side) []Tie {
	if r.Text("frontend_port") != "80" || strings.EqualFold(r.Text("protocol"), "udp") {
		return nil
	}
	return st.door(r, "load balancer", last(r.Text("loadbalancer_id"))+"/"+r.Text("frontend_ip_configuration_name"), unless(r, PartPrincipal, "loadbalancer_id")...)
}

func azureGateway(st *State, r *Side) []Tie {
	for i := range r.Len("frontend_port") {
		if r.Text("frontend_port", i, "port") != "80" {
			continue
		}
		for j := range r.Len("http_listener") {
			if n := r.Text("frontend_port", i, "name"); n != "" && r.Text("http_listener", j, "frontend_port_name") == n {
				return st.door(r, "application gateway", r.Text("name"), unless(r, PartPrincipal, "name")...)
			}
		}
	}
	return nil
}

// azureRule is a rule of a network security group.
type azureRule struct {
	inbound, allow, matches bool
	priority                int
	address                 string
}

func azureRuleOf(get func(string) string, all func(string) []string) azureRule {
	ports := append(all("destination_port_ranges"), get("destination_port_range"))
	protocol := get("protocol")
	priority, _ := strconv.Atoi(get("priority"))
	return azureRule{
		inbound: strings.EqualFold(get("direction"), "inbound"), allow: strings.EqualFold(get("access"), "allow"), priority: priority,
		matches: (protocol == "*" || strings.EqualFold(protocol, "tcp")) && slices.ContainsFunc(ports, open80) &&
			anywhere(append(all("source_address_prefixes"), get("source_address_prefix"))),
	}
}

// azureRules are the rules of a network security group on a side, of the group itself and of single resources.
func (s *State) azureRules(group string) []azureRule {
	return once(s, "network rules", func() map[string][]azureRule {
		out := map[string][]azureRule{}
		add := func(r *Side, group string, rule azureRule) {
			rule.address, group = r.Change.Address, strings.ToLower(group)
			out[group] = append(out[group], rule)
		}
		for _, r := range s.Of("azurerm_network_security_rule") {
			add(r, r.Text("network_security_group_name"), azureRuleOf(func(a string) string { return r.Text(a) }, func(a string) []string { return r.Texts(a) }))
		}
		for _, r := range s.Of("azurerm_network_security_group") {
			for i := range r.Len("security_rule") {
				add(r, r.Text("name"), azureRuleOf(func(a string) string { return r.Text("security_rule", i, a) }, func(a string) []string { return r.Texts("security_rule", i, a) }))
			}
		}
		return out
	})[strings.ToLower(group)]
}

// refused is the address of a rule that comes before another one and denies what that one allows; empty when there is none.
func (s *State) refused(group string, rule azureRule) string {
	for _, o := range s.azureRules(group) {
		if o.inbound && !o.allow && o.matches && o.priority < rule.priority {
			return o.address
		}
	}
	return ""
}

// azureDoor is the tie of a rule that lets port 80 in.
func (s *State) azureDoor(r *Side, group, attribute string, rule azureRule) []Tie {
	if !rule.inbound || !rule.allow || !rule.matches || s.refused(group, rule) != "" {
		return nil
	}
	t := s.door(r, "network security group", group, unless(r, PartPrincipal, attribute)...)
	if s.other != nil && !s.After {
		if by := s.other.refused(group, rule); by != "" {
			t[0].Doubt = by + " denies it then, and " + t[0].Doubt
		}
	}
	return t
}

func azureSecurityRule(st *State, r *Side) []Tie {
	rule := azureRuleOf(func(a string) string { return r.Text(a) }, func(a string) []string { return r.Texts(a) })
	group := r.Text("network_security_group_name")
	return st.azureDoor(r, group, "network_security_group_name", rule)
}

func azureSecurityGroup(st *State, r *Side) []Tie {
	group := r.Text("name")
	for i := range r.Len("security_rule") {
		rule := azureRuleOf(func(a string) string { return r.Text("security_rule", i, a) }, func(a string) []string { return r.Texts("security_rule", i, a) })
		if t := st.azureDoor(r, group, "name", rule); t != nil {
			return t
		}
	}
	if !r.Known("security_rule") {
		// The attribute is computed too, and unknown wherever a group is made; only what had rules is worth a doubt.
		if r.Change.Before != nil {
			return st.door(r, "network security group", group, PartPrincipal)
		}
	}
	return nil
}

func googleForwarding(st *State, r *Side) []Tie {
	if strings.HasPrefix(r.Text("load_balancing_scheme"), "INTERNAL") || strings.EqualFold(r.Text("ip_protocol"), "UDP") {
		return nil
	}
	if !open80(r.Text("port_range")) && !slices.ContainsFunc(r.Texts("ports"), open80) && r.Text("all_ports") != "true" {
		return nil
	}
	owner := r.Text("ip_address")
	if owner == "" {
		owner = r.Text("name")
	}
	return st.door(r, "the address", last(owner), unless(r, PartPrincipal, "ip_address")...)
}

func googleFirewall(st *State, r *Side) []Tie {
	if !googleOpen(r, "allow") {
		return nil
	}
	denying := once(st, "denying firewalls", func() []*Side {
		return slices.DeleteFunc(slices.Clone(st.Of("google_compute_firewall")), func(o *Side) bool { return !googleOpen(o, "deny") })
	})
	for _, o := range denying {
		if number(o.Text("priority")) <= number(r.Text("priority")) && last(o.Text("network")) == last(r.Text("network")) && len(o.Texts("target_tags")) == 0 {
			return nil
		}
	}
	tags := strings.Join(r.Texts("target_tags"), ", ")
	owner := last(r.Text("network"))
	if tags != "" {
		owner += " (" + tags + ")"
	}
	return st.door(r, "network", owner, unless(r, PartPrincipal, "network", "target_tags")...)
}

// googleOpen reports whether a firewall rule allows, or denies, port 80 from everywhere.
func googleOpen(r *Side, verb string) bool {
	if strings.EqualFold(r.Text("direction"), "EGRESS") || r.Text("disabled") == "true" {
		return false
	}
	if sources := r.Texts("source_ranges"); !anywhere(sources) {
		return false
	}
	for i := range r.Len(verb) {
		protocol := strings.ToLower(r.Text(verb, i, "protocol"))
		ports := r.Texts(verb, i, "ports")
		if protocol == "all" || (protocol == "tcp" || protocol == "6") && (len(ports) == 0 || slices.ContainsFunc(ports, open80)) {
			return true
		}
	}
	return false
}

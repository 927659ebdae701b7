package iac

import "testing"

// hInventory knows one certificate that is validated by HTTP.
var hInventory = Inventory{At: sceneTime, Certificates: []Certificate{{
	Name: "shop", Names: []string{"shop.example.com"}, Renewer: "certbot", Challenge: "http-01", Next: sceneTime.AddDate(0, 0, 11), NotAfter: sceneTime.AddDate(0, 0, 41),
}}}

func hRule(port, access string, priority int) attrs {
	return attrs{
		"id": "/nsg/rules/" + access, "name": "web", "network_security_group_name": "front", "resource_group_name": "web", "direction": "Inbound", "access": access, "priority": priority,
		"protocol": "Tcp", "destination_port_range": port, "source_address_prefix": "Internet", "destination_address_prefix": "*", "source_port_range": "*",
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	arn := "arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/app/web/1a"
	listener := func(port int) attrs {
		return attrs{"id": "arn/listener/1", "load_balancer_arn": arn, "port": port, "protocol": "HTTP"}
	}
	issuer := keeps(kIssuer, kACME(letsEncrypt, attrs{"http01": attrs{"ingress": attrs{"ingressClassName": "nginx"}}}))
	group := func(ports ...int) attrs {
		var rules []any
		for _, p := range ports {
			rules = append(rules, attrs{"protocol": "tcp", "from_port": p, "to_port": p, "cidr_blocks": []any{"0.0.0.0/0"}, "ipv6_cidr_blocks": []any{}})
		}
		return attrs{"id": "sg-1", "name": "web", "ingress": rules}
	}
	allow := attrs{"id": "projects/p/global/firewalls/web", "name": "web", "network": "projects/p/global/networks/main", "direction": "INGRESS", "priority": 1000, "source_ranges": []any{"0.0.0.0/0"}, "allow": []any{attrs{"protocol": "tcp", "ports": []any{"80", "443"}}}}
	forwarding := attrs{"id": "f1", "name": "http", "ip_address": "192.0.2.1", "port_range": "80-80", "load_balancing_scheme": "EXTERNAL_MANAGED"}
	record := attrs{"id": "r", "name": "shop", "zone_name": "example.com", "resource_group_name": "dns", "records": []any{"192.0.2.1"}}
	shop := kMeta("shop", "shop", "spec", []any{attrs{"tls": []any{attrs{"hosts": []any{"shop.example.com"}, "secret_name": "shop-tls"}}, "rule": []any{attrs{"host": "shop.example.com"}}}})
	play(t, []scene{
		{name: "path/listener-removed", inventory: hInventory, changes: []Change{deletes("aws_lb_listener.http", listener(80))}, want: []string{
			`unknown aws_lb_listener.http: Port 80 of load balancer web/1a is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/listener-removed-nobody-uses-http", changes: []Change{deletes("aws_lb_listener.http", listener(80))}},
		{name: "path/listener-removed-all-by-dns", inventory: gInventory, changes: []Change{deletes("aws_lb_listener.http", listener(80))}},
		{name: "path/listener-removed-issuer-by-http", changes: []Change{issuer, deletes("aws_lb_listener.http", listener(80))}, want: []string{
			`unknown aws_lb_listener.http: Port 80 of load balancer web/1a is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/listener-of-443-removed", inventory: hInventory, changes: []Change{deletes("aws_lb_listener.https", listener(443))}},
		{name: "path/listener-re-keyed", inventory: hInventory, changes: []Change{deletes(`aws_lb_listener.l["http"]`, listener(80)), creates(`aws_lb_listener.l["80"]`, altered(listener(80), "id", nil))}, want: []string{
			`unknown aws_lb_listener.l["http"]: Port 80 of load balancer web/1a is destroyed at aws_lb_listener.l["http"] and made at aws_lb_listener.l["80"], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/security-group-closed", inventory: hInventory, changes: []Change{updates("aws_security_group.web", group(80, 443), group(443))}, want: []string{
			`unknown aws_security_group.web: Port 80 of security group sg-1 changes. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/security-group-rule-removed", inventory: hInventory, changes: []Change{deletes("aws_security_group_rule.http", attrs{"type": "ingress", "protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_blocks": []any{"0.0.0.0/0"}, "security_group_id": "sg-1"})}, want: []string{
			`unknown aws_security_group_rule.http: Port 80 of security group sg-1 is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/security-group-rule-becomes-another-type", inventory: hInventory, changes: []Change{
			deletes("aws_security_group_rule.http", attrs{"type": "ingress", "protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_blocks": []any{"0.0.0.0/0"}, "security_group_id": "sg-1"}),
			creates("aws_vpc_security_group_ingress_rule.http", attrs{"ip_protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_ipv4": "0.0.0.0/0", "security_group_id": "sg-1"}),
		}, want: []string{
			`unknown aws_security_group_rule.http: Port 80 of security group sg-1 is destroyed at aws_security_group_rule.http and made at aws_vpc_security_group_ingress_rule.http, in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/security-group-rule-of-the-inside", inventory: hInventory, changes: []Change{deletes("aws_security_group_rule.http", attrs{"type": "ingress", "protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_blocks": []any{"10.0.0.0/8"}, "security_group_id": "sg-1"})}},
		{name: "path/network-rule-removed", inventory: hInventory, changes: []Change{deletes("azurerm_network_security_rule.http", hRule("80", "Allow", 100))}, want: []string{
			`unknown azurerm_network_security_rule.http: Port 80 of network security group front is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/network-rule-denied-before", inventory: hInventory, changes: []Change{keeps("azurerm_network_security_rule.http", hRule("80", "Allow", 200)), creates("azurerm_network_security_rule.no", hRule("*", "Deny", 100))}, want: []string{
			`unknown azurerm_network_security_rule.http: Port 80 of network security group front changes. Nobody can tell from this plan whether renewal rests on it: azurerm_network_security_rule.no denies it then, and whether challenges come this way is not in the plan.`,
		}},
		{name: "path/network-rule-denied-after", inventory: hInventory, changes: []Change{keeps("azurerm_network_security_rule.http", hRule("80", "Allow", 200)), creates("azurerm_network_security_rule.no", hRule("*", "Deny", 300))}},
		{name: "path/firewall-narrowed", inventory: hInventory, changes: []Change{updates("google_compute_firewall.web", allow, altered(allow, "allow", []any{attrs{"protocol": "tcp", "ports": []any{"443"}}}))}, want: []string{
			`unknown google_compute_firewall.web: Port 80 of network main changes. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/forwarding-removed", inventory: hInventory, changes: []Change{deletes("google_compute_global_forwarding_rule.http", forwarding)}, want: []string{
			`unknown google_compute_global_forwarding_rule.http: Port 80 of the address 192.0.2.1 is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/forwarding-inside-removed", inventory: hInventory, changes: []Change{deletes("google_compute_forwarding_rule.http", altered(forwarding, "load_balancing_scheme", "INTERNAL"))}},
		{name: "path/address-removed", inventory: hInventory, changes: []Change{deletes("azurerm_dns_a_record.shop", record)}, want: []string{
			`lost azurerm_dns_a_record.shop: shop stops renewing: the A record of shop.example.com is destroyed, so the authority no longer reaches shop.example.com to validate it by HTTP. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "path/address-changed", inventory: hInventory, changes: []Change{updates("azurerm_dns_a_record.shop", record, altered(record, "records", []any{"192.0.2.9"}))}, want: []string{
			`unknown azurerm_dns_a_record.shop: The A record of shop.example.com changes, and nobody can tell whether shop goes on renewing: it leads to 192.0.2.9 then and no longer to 192.0.2.1, and whether challenges are answered there is not in the plan.`,
		}},
		{name: "path/address-of-another-host-removed", inventory: hInventory, changes: []Change{deletes("azurerm_dns_a_record.old", altered(record, "name", "old"))}},
		{name: "path/ingress-removed", inventory: hInventory, changes: []Change{deletes("kubernetes_ingress_v1.shop", shop)}, want: []string{
			`lost kubernetes_ingress_v1.shop: shop stops renewing: the ingress of shop.example.com is destroyed, so the authority no longer reaches shop.example.com to validate it by HTTP. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "path/ingress-removed-issuer-by-http", changes: []Change{issuer, deletes("kubernetes_ingress_v1.shop", shop)}, want: []string{
			`lost kubernetes_ingress_v1.shop: Renewal stops: the ingress of shop.example.com is destroyed, so the authority no longer reaches shop.example.com to validate it by HTTP. Nothing shows it until certificates end.`,
		}},
		{name: "path/ingress-removed-nobody-uses-http", changes: []Change{deletes("kubernetes_ingress_v1.shop", shop)}},
		{name: "path/controller-removed", inventory: hInventory, changes: []Change{deletes("helm_release.nginx", attrs{"name": "ingress-nginx", "namespace": "ingress-nginx", "chart": "ingress-nginx"})}, want: []string{
			`unknown helm_release.nginx: Port 80 of the ingress controller ingress-nginx/ingress-nginx is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
		{name: "path/controller-removed-nobody-uses-http", changes: []Change{deletes("helm_release.nginx", attrs{"name": "ingress-nginx", "namespace": "ingress-nginx", "chart": "ingress-nginx"})}},
		{name: "path/service-removed", inventory: hInventory, changes: []Change{deletes("kubernetes_service.nginx", kMeta("ingress", "nginx", "spec", []any{attrs{"type": "LoadBalancer", "port": []any{attrs{"port": 80}}}}))}, want: []string{
			`unknown kubernetes_service.nginx: Port 80 of service ingress/nginx is destroyed. Nobody can tell from this plan whether renewal rests on it: whether challenges come this way is not in the plan.`,
		}},
	})
}

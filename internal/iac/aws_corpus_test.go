package iac

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	awsAccount = "arn:aws:iam::123456789012:"
	awsIssuer  = "oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9"
	cmSubject  = "system:serviceaccount:cert-manager:cert-manager"
)

// doc writes a policy document.
func doc(statements ...attrs) string {
	b, err := json.Marshal(attrs{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func allow(resource any, actions ...string) attrs {
	return attrs{"Effect": "Allow", "Action": actions, "Resource": resource}
}

func deny(resource any, actions ...string) attrs {
	return attrs{"Effect": "Deny", "Action": actions, "Resource": resource}
}

// when puts a condition on a statement.
func when(s attrs, op, key string, values ...string) attrs {
	s = maps.Clone(s)
	c := attrs{}
	if old, ok := s["Condition"].(attrs); ok {
		c = maps.Clone(old)
	}
	c[op] = attrs{key: values}
	s["Condition"] = c
	return s
}

func zoneARN(id string) string { return "arn:aws:route53:::hostedzone/" + id }

// dnsDoc is the policy of cert-manager's documentation, for some zones.
func dnsDoc(zones ...string) string {
	arns := []string{}
	for _, z := range zones {
		arns = append(arns, zoneARN(z))
	}
	return doc(allow("arn:aws:route53:::change/*", "route53:GetChange"),
		allow(arns, "route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"),
		allow("*", "route53:ListHostedZonesByName"))
}

// dnsDocAgain says the same as dnsDoc, with other words in another order.
var dnsDocAgain = doc(
	attrs{"Sid": "Find", "Effect": "Allow", "Action": "route53:ListHostedZonesByName", "Resource": "*"},
	attrs{"Sid": "Change", "Effect": "Allow", "Action": []string{"route53:ListResourceRecordSets", "route53:changeResourceRecordSets"}, "Resource": zoneARN(zone1)},
	attrs{"Sid": "Wait", "Effect": "Allow", "Action": []string{"route53:GetChange"}, "Resource": []string{"arn:aws:route53:::change/*"}})

// webIdentity is a trust policy for service accounts.
func webIdentity(issuer, op string, subjects ...string) string {
	return doc(attrs{
		"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": attrs{"Federated": awsAccount + "oidc-provider/" + issuer},
		"Condition": attrs{op: attrs{issuer + ":sub": subjects}},
	})
}

func trusts(issuer string, subjects ...string) string {
	return doc(attrs{
		"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": attrs{"Federated": awsAccount + "oidc-provider/" + issuer},
		"Condition": attrs{"StringEquals": attrs{issuer + ":sub": subjects, issuer + ":aud": "sts.amazonaws.com"}},
	})
}

var podTrust = doc(attrs{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"}, "Principal": attrs{"Service": "pods.eks.amazonaws.com"}})

func with(m attrs, pairs ...any) attrs {
	m = maps.Clone(m)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func without(m attrs, keys ...string) attrs {
	m = maps.Clone(m)
	for _, k := range keys {
		delete(m, k)
	}
	return m
}

func role(name, trust string) attrs {
	return attrs{
		"name": name, "path": "/", "arn": awsAccount + "role/" + name, "id": name, "unique_id": "AROA" + name, "assume_role_policy": trust,
		"permissions_boundary": "", "managed_policy_arns": []string{}, "inline_policy": []attrs{},
	}
}

func managed(name, document string) attrs {
	arn := awsAccount + "policy/" + name
	return attrs{"name": name, "path": "/", "arn": arn, "id": arn, "policy": document}
}

func attached(role, arn string) attrs {
	return attrs{"role": role, "policy_arn": arn, "id": role + "-20240101000000000000000001"}
}

func inline(role, name, document string) attrs {
	return attrs{"role": role, "name": name, "policy": document, "id": role + ":" + name}
}

func zone53(name, id string) attrs {
	return attrs{"name": name, "zone_id": id, "id": id, "arn": zoneARN(id), "vpc": []attrs{}, "name_servers": []string{"ns-1.awsdns-01.org"}, "delegation_set_id": ""}
}

func record53(zone, name, kind string, values ...string) attrs {
	return attrs{"zone_id": zone, "name": name, "fqdn": name, "type": kind, "records": values, "ttl": 300, "id": zone + "_" + name + "_" + kind}
}

const (
	cmRoleAt   = "aws_iam_role.cert_manager"
	cmPolicyAt = "aws_iam_policy.cert_manager_dns"
	cmAttach   = "aws_iam_role_policy_attachment.cert_manager"
	cmARN      = awsAccount + "policy/cert-manager-dns"
	zone1      = "Z0000000000000000001"
	zone2      = "Z0000000000000000002"
)

var (
	cmRole   = role("cert-manager", trusts(awsIssuer, cmSubject))
	cmPolicy = managed("cert-manager-dns", dnsDoc(zone1))
	cmHeld   = attached("cert-manager", cmARN)
	zoneAt   = keeps("aws_route53_zone.main", zone53("example.com", zone1))
)

// base is an ordinary set-up that does not change.
func base(more ...Change) []Change {
	return append([]Change{keeps(cmRoleAt, cmRole), keeps(cmPolicyAt, cmPolicy), zoneAt}, more...)
}

// awsInventory knows one certificate.
func awsInventory(identity string) Inventory {
	return Inventory{At: sceneTime, Certificates: []Certificate{{
		Name: "shop", Names: []string{"shop.example.com"}, Renewer: "cluster", Identities: []string{identity}, Zones: []string{"example.com"},
		Issuers: []string{"letsencrypt.org"}, Challenge: "dns-01", Next: sceneTime.Add(6 * 24 * time.Hour), NotAfter: sceneTime.Add(36 * 24 * time.Hour),
	}}}
}

// unknowns marks attributes as known only after the apply.
func unknowns(keys ...string) attrs {
	m := attrs{}
	for _, k := range keys {
		m[k] = true
	}
	return m
}

func awsScenes() []scene {
	conditioned := func(op, key string, values ...string) string {
		return doc(when(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets"), op, "route53:ChangeResourceRecordSets"+key, values...),
			allow("*", "route53:ListResourceRecordSets", "route53:GetChange"))
	}
	user := attrs{"name": "lego", "path": "/", "arn": awsAccount + "user/lego", "id": "lego", "unique_id": "AIDALEGO", "permissions_boundary": ""}
	userPolicy := keeps("aws_iam_user_policy.lego", attrs{"user": "lego", "name": "dns", "policy": dnsDoc(zone1), "id": "lego:dns"})
	key := func(id, status string) attrs { return attrs{"user": "lego", "id": id, "status": status} }
	association := attrs{"cluster_name": "prod", "namespace": "cert-manager", "service_account": "cert-manager", "role_arn": awsAccount + "role/cert-manager", "association_arn": "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/prod/a-1"}
	podRole := role("cert-manager", podTrust)
	cluster := attrs{"name": "prod", "id": "prod", "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod", "identity": []attrs{{"oidc": []attrs{{"issuer": "https://" + awsIssuer}}}}}
	provider := attrs{"url": "https://" + awsIssuer, "client_id_list": []string{"sts.amazonaws.com"}, "arn": awsAccount + "oidc-provider/" + awsIssuer, "thumbprint_list": []string{}}
	validation := deletes("aws_route53_record.validation", record53(zone1, "_3639ac514e785e898d2646601fa951d5.www.example.com", "CNAME", "_98d2646601fa951d5.acm-validations.aws."))
	certificate := attrs{"domain_name": "www.example.com", "subject_alternative_names": []string{"www.example.com"}, "domain_validation_options": []attrs{{"domain_name": "www.example.com", "resource_record_name": "_3639ac514e785e898d2646601fa951d5.www.example.com."}}}
	drifted := attrs{
		"address": cmAttach, "mode": "managed", "type": "aws_iam_role_policy_attachment", "name": "cert_manager", "provider_name": registry + "aws",
		"change": attrs{"actions": []string{"delete"}, "before": cmHeld, "after": nil, "after_unknown": attrs{}, "before_sensitive": false, "after_sensitive": false},
	}
	narrowedTo := func(name string) []Change {
		names := doc(allow("arn:aws:route53:::change/*", "route53:GetChange"), allow("*", "route53:ListHostedZonesByName", "route53:ListResourceRecordSets"),
			when(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets"), "ForAllValues:StringEquals", "route53:ChangeResourceRecordSetsNormalizedRecordNames", name))
		return []Change{keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", names)), keeps(cmAttach, cmHeld), zoneAt}
	}
	keyed := func(k string) string { return `aws_iam_role_policy_attachment.dns["` + k + `"]` }
	return []scene{
		{name: "aws/attachment-removed", changes: base(deletes(cmAttach, cmHeld))},
		{name: "aws/attachment-removed-known", changes: base(deletes(cmAttach, cmHeld)), inventory: awsInventory(awsAccount + "role/cert-manager")},
		{name: "aws/attachment-removed-somebody-else", changes: base(deletes(cmAttach, cmHeld)), inventory: awsInventory(awsAccount + "role/other")},
		{name: "aws/inline-removed", changes: []Change{keeps(cmRoleAt, cmRole), zoneAt, deletes("aws_iam_role_policy.dns", inline("cert-manager", "dns", dnsDoc(zone1)))}},
		{name: "aws/everything-removed", changes: []Change{deletes(cmRoleAt, cmRole), deletes(cmPolicyAt, cmPolicy), deletes(cmAttach, cmHeld), zoneAt}},
		{name: "aws/rekeyed", changes: base(deletes(keyed("cm"), cmHeld), creates(keyed("cert-manager"), without(cmHeld, "id")))},
		{name: "aws/rekeyed-module", changes: []Change{
			deletes("module.cm.aws_iam_role.this", cmRole), deletes("module.cm.aws_iam_policy.this", cmPolicy), deletes("module.cm.aws_iam_role_policy_attachment.this", cmHeld), zoneAt,
			change(Create, "module.certs.aws_iam_role.this", nil, without(cmRole, "arn", "id", "unique_id", "managed_policy_arns", "inline_policy"), unknowns("arn", "id", "unique_id", "managed_policy_arns", "inline_policy")),
			change(Create, "module.certs.aws_iam_policy.this", nil, without(cmPolicy, "arn", "id"), unknowns("arn", "id")),
			change(Create, "module.certs.aws_iam_role_policy_attachment.this", nil, attrs{"role": "cert-manager"}, unknowns("policy_arn", "id")),
		}},
		{name: "aws/moved", changes: base(moved(keeps(keyed("cert-manager"), cmHeld), keyed("cm")))},
		{name: "aws/replaced", changes: base(replaces(cmAttach, cmHeld, without(cmHeld, "id"), unknowns("id")))},
		{name: "aws/create-before-destroy", changes: base(change(CreateDelete, cmAttach, cmHeld, without(cmHeld, "id"), unknowns("id")))},
		{name: "aws/role-replaced-attachment-stays", changes: []Change{
			replaces(cmRoleAt, cmRole, with(without(cmRole, "arn", "id", "unique_id"), "path", "/infra/"), unknowns("arn", "id", "unique_id")), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/role-renamed", changes: []Change{
			replaces(cmRoleAt, cmRole, with(without(cmRole, "arn", "id", "unique_id"), "name", "cert-manager-eu"), unknowns("arn", "id", "unique_id")), keeps(cmPolicyAt, cmPolicy),
			replaces(cmAttach, cmHeld, with(without(cmHeld, "id"), "role", "cert-manager-eu"), unknowns("id")), zoneAt,
		}},
		{name: "aws/role-unknown", changes: []Change{
			keeps(cmRoleAt, cmRole), keeps(cmPolicyAt, cmPolicy), zoneAt, replaces(cmAttach, cmHeld, attrs{"policy_arn": cmARN}, unknowns("role", "id")),
		}},
		{name: "aws/document-unknown", changes: []Change{
			keeps(cmRoleAt, cmRole), change(Update, cmPolicyAt, cmPolicy, without(cmPolicy, "policy"), unknowns("policy")), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/document-other-zone", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", dnsDoc(zone2))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/document-narrowed-zone", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, with(cmPolicy, "policy", dnsDoc("*")), with(cmPolicy, "policy", dnsDoc(zone2))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/document-narrowed-zone-known", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, with(cmPolicy, "policy", dnsDoc("*")), with(cmPolicy, "policy", dnsDoc(zone1))), keeps(cmAttach, cmHeld), zoneAt,
		}, inventory: Inventory{At: sceneTime, Certificates: []Certificate{{Name: "shop", Names: []string{"shop.example.com"}, Identities: []string{awsAccount + "role/cert-manager"}, Zones: []string{"/hostedzone/" + zone1}, Challenge: "dns-01"}}}},
		{name: "aws/document-widened-zone", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", dnsDoc(zone1, zone2))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/document-loses-delete", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, with(cmPolicy, "policy", conditioned("ForAllValues:StringEquals", "RecordTypes", "TXT")), with(cmPolicy, "policy", conditioned("ForAllValues:StringEquals", "Actions", "UPSERT", "CREATE"))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/document-loses-getchange", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", doc(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"), allow("*", "route53:ListHostedZonesByName")))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/condition-harmless", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, with(cmPolicy, "policy", doc(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets"), allow("*", "route53:ListResourceRecordSets", "route53:GetChange"))),
				with(cmPolicy, "policy", doc(
					when(when(when(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets"), "ForAllValues:StringEquals", "route53:ChangeResourceRecordSetsRecordTypes", "TXT"),
						"ForAllValues:StringLike", "route53:ChangeResourceRecordSetsNormalizedRecordNames", "_acme-challenge.*"),
						"Bool", "aws:SecureTransport", "true"), allow("*", "route53:ListResourceRecordSets", "route53:GetChange")))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/condition-types-without-txt", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", conditioned("ForAllValues:StringEquals", "RecordTypes", "A", "CNAME"))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/condition-names", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", doc(allow("arn:aws:route53:::change/*", "route53:GetChange"), allow("*", "route53:ListHostedZonesByName", "route53:ListResourceRecordSets"),
				when(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets"), "ForAllValues:StringEquals", "route53:ChangeResourceRecordSetsNormalizedRecordNames", "_acme-challenge.www.example.com")))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/condition-names-widened", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, with(cmPolicy, "policy", conditioned("ForAllValues:StringEquals", "NormalizedRecordNames", "_acme-challenge.www.example.com", "_acme-challenge.shop.example.com")),
				with(cmPolicy, "policy", conditioned("ForAllValues:StringLike", "NormalizedRecordNames", "_acme-challenge.*.example.com"))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/condition-address", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", doc(allow("*", "route53:GetChange", "route53:ListHostedZonesByName", "route53:ListResourceRecordSets"),
				when(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets"), "IpAddress", "aws:SourceIp", "192.0.2.0/24")))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/denied", changes: []Change{
			keeps(cmRoleAt, cmRole), updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", doc(allow("*", "route53:*"), deny(zoneARN(zone1), "route53:Change*")))), keeps(cmAttach, cmHeld), zoneAt,
		}},
		{name: "aws/denied-under-a-condition", changes: base(keeps(cmAttach, cmHeld), creates("aws_iam_role_policy.region", inline("cert-manager", "region", doc(when(attrs{"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"}, "StringNotEquals", "aws:RequestedRegion", "eu-west-1")))))},
		{name: "aws/another-grant-stays", changes: base(deletes(cmAttach, cmHeld), keeps("aws_iam_role_policy.dns", inline("cert-manager", "dns", dnsDoc("*"))))},
		{name: "aws/managed-route53", changes: []Change{keeps(cmRoleAt, cmRole), zoneAt, deletes(cmAttach, attached("cert-manager", "arn:aws:iam::aws:policy/AmazonRoute53FullAccess"))}},
		{name: "aws/managed-administrator", changes: []Change{keeps("aws_iam_role.deploy", role("deploy", doc(attrs{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": attrs{"AWS": awsAccount + "root"}}))), deletes("aws_iam_role_policy_attachment.deploy", attached("deploy", "arn:aws:iam::aws:policy/AdministratorAccess")), keeps("aws_route53_record.www", record53(zone1, "www.example.com", "A", "192.0.2.1"))}},
		{name: "aws/policy-elsewhere", changes: []Change{keeps(cmRoleAt, cmRole), deletes(cmAttach, attached("cert-manager", awsAccount+"policy/shared-dns"))}},
		{name: "aws/boundary-added", changes: []Change{updates(cmRoleAt, cmRole, with(cmRole, "permissions_boundary", awsAccount+"policy/limits")), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), keeps("aws_iam_policy.limits", managed("limits", doc(allow("*", "s3:*", "ec2:*")))), zoneAt}},
		{name: "aws/boundary-added-elsewhere", changes: []Change{updates(cmRoleAt, cmRole, with(cmRole, "permissions_boundary", awsAccount+"policy/company-limits")), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/boundary-wide", changes: []Change{updates(cmRoleAt, cmRole, with(cmRole, "permissions_boundary", "arn:aws:iam::aws:policy/PowerUserAccess")), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/trust-other-service-account", changes: []Change{updates(cmRoleAt, cmRole, with(cmRole, "assume_role_policy", trusts(awsIssuer, "system:serviceaccount:certs:cert-manager"))), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/trust-widened", changes: []Change{updates(cmRoleAt, cmRole, with(cmRole, "assume_role_policy", webIdentity(awsIssuer, "StringLike", "system:serviceaccount:cert-*:*"))), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/trust-narrowed", changes: []Change{updates(cmRoleAt, with(cmRole, "assume_role_policy", webIdentity(awsIssuer, "StringLike", "system:serviceaccount:cert-manager:*")), cmRole), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/trust-narrowed-to-another", changes: []Change{updates(cmRoleAt, with(cmRole, "assume_role_policy", webIdentity(awsIssuer, "StringLike", "system:serviceaccount:*:*")), with(cmRole, "assume_role_policy", trusts(awsIssuer, "system:serviceaccount:web:web"))), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/trust-under-a-condition", changes: []Change{updates(cmRoleAt, with(cmRole, "assume_role_policy", podTrust), with(cmRole, "assume_role_policy", doc(when(attrs{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"}, "Principal": attrs{"Service": "pods.eks.amazonaws.com"}}, "StringEquals", "aws:SourceAccount", "123456789012")))), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/trust-unknown", changes: []Change{change(Update, cmRoleAt, cmRole, without(cmRole, "assume_role_policy"), unknowns("assume_role_policy")), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/provider-audience-dropped", changes: base(keeps(cmAttach, cmHeld), updates("aws_iam_openid_connect_provider.eks", provider, with(provider, "client_id_list", []string{"vault"})))},
		{name: "aws/provider-removed", changes: base(keeps(cmAttach, cmHeld), deletes("aws_iam_openid_connect_provider.eks", provider))},
		{name: "aws/cluster-replaced", changes: base(keeps(cmAttach, cmHeld), replaces("aws_eks_cluster.prod", cluster, without(cluster, "identity", "arn"), unknowns("identity", "arn")))},
		{name: "aws/pod-identity-removed", changes: []Change{keeps(cmRoleAt, podRole), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), deletes("aws_eks_pod_identity_association.cert_manager", association)}},
		{name: "aws/pod-identity-other-namespace", changes: []Change{keeps(cmRoleAt, podRole), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), replaces("aws_eks_pod_identity_association.cert_manager", association, with(without(association, "association_arn"), "namespace", "certs"), unknowns("association_arn"))}},
		{name: "aws/authoritative-attachment", changes: base(keeps(cmAttach, cmHeld), creates("aws_iam_policy_attachment.dns", attrs{"name": "dns", "policy_arn": cmARN, "roles": []string{"external-dns"}, "users": []string{}, "groups": []string{}}))},
		{name: "aws/authoritative-elsewhere", changes: []Change{keeps(cmPolicyAt, cmPolicy), creates("aws_iam_policy_attachment.dns", attrs{"name": "dns", "policy_arn": cmARN, "roles": []string{"lego"}, "users": []string{}, "groups": []string{}})}},
		{name: "aws/exclusive-attachments", changes: base(keeps(cmAttach, cmHeld), creates("aws_iam_role_policy_attachments_exclusive.cm", attrs{"role_name": "cert-manager", "policy_arns": []string{"arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"}}))},
		{name: "aws/exclusive-attachments-listed", changes: base(keeps(cmAttach, cmHeld), creates("aws_iam_role_policy_attachments_exclusive.cm", attrs{"role_name": "cert-manager", "policy_arns": []string{cmARN}}))},
		{name: "aws/managed-policy-arns", changes: []Change{updates(cmRoleAt, with(cmRole, "managed_policy_arns", []string{cmARN}), with(cmRole, "managed_policy_arns", []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"})), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/computed-arns-are-no-grant", changes: []Change{keeps(cmRoleAt, with(cmRole, "managed_policy_arns", []string{cmARN})), keeps(cmPolicyAt, cmPolicy), deletes(cmAttach, cmHeld), zoneAt}},
		{name: "aws/forgotten", changes: base(change(Forget, cmAttach, cmHeld, nil, nil))},
		{name: "aws/user-key-removed", changes: []Change{keeps("aws_iam_user.lego", user), userPolicy, deletes("aws_iam_access_key.lego", key("AKIAIOSFODNN7EXAMPL1", "Active"))}},
		{name: "aws/user-key-off", changes: []Change{keeps("aws_iam_user.lego", user), userPolicy, updates("aws_iam_access_key.lego", key("AKIAIOSFODNN7EXAMPL1", "Active"), key("AKIAIOSFODNN7EXAMPL1", "Inactive"))}},
		{name: "aws/user-key-rotated", changes: []Change{keeps("aws_iam_user.lego", user), userPolicy, replaces("aws_iam_access_key.lego", key("AKIAIOSFODNN7EXAMPL1", "Active"), attrs{"user": "lego", "status": "Active"}, unknowns("id"))}},
		{name: "aws/user-key-second", changes: []Change{keeps("aws_iam_user.lego", user), userPolicy, deletes("aws_iam_access_key.a", key("AKIAIOSFODNN7EXAMPL1", "Active")), keeps("aws_iam_access_key.b", key("AKIAIOSFODNN7EXAMPL2", "Active"))}},
		{name: "aws/group-left", changes: []Change{
			keeps("aws_iam_user.lego", user), keeps("aws_iam_group.dns", attrs{"name": "dns", "path": "/", "arn": awsAccount + "group/dns"}), keeps("aws_iam_group_policy.dns", attrs{"group": "dns", "name": "dns", "policy": dnsDoc(zone1)}),
			updates("aws_iam_user_group_membership.lego", attrs{"user": "lego", "groups": []string{"dns", "staff"}}, attrs{"user": "lego", "groups": []string{"staff"}}),
		}},
		{name: "aws/zone-replaced", changes: []Change{keeps(cmRoleAt, cmRole), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), replaces("aws_route53_zone.main", zone53("example.com", zone1), without(zone53("example.com", ""), "zone_id", "id", "arn", "name_servers"), unknowns("zone_id", "id", "arn", "name_servers"))}},
		{name: "aws/zone-removed-alone", changes: []Change{deletes("aws_route53_zone.old", zone53("old.example.net", zone2))}},
		{name: "aws/caa-added", changes: base(keeps(cmAttach, cmHeld), creates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "digicert.com"`)))},
		{name: "aws/caa-added-known", changes: base(creates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "digicert.com"`))), inventory: awsInventory(awsAccount + "role/cert-manager")},
		{name: "aws/caa-added-allows", changes: base(creates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`))), inventory: awsInventory(awsAccount + "role/cert-manager")},
		{name: "aws/caa-limited-to-an-account", changes: base(updates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`), record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1"`)))},
		{name: "aws/caa-another-account", changes: base(updates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org; accounturi=https://a/1"`), record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org; accounturi=https://a/1"`, `0 issue "letsencrypt.org; accounturi=https://a/2"`)))},
		{name: "aws/caa-not-by-dns", changes: base(updates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`), record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org; validationmethods=http-01"`)))},
		{name: "aws/caa-by-dns-only", changes: base(updates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`), record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org;validationmethods=dns-01"`)))},
		{name: "aws/caa-no-wildcards", changes: base(updates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`), record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`, `0 issuewild ";"`)))},
		{name: "aws/caa-widened", changes: base(updates("aws_route53_record.caa", record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`), record53(zone1, "example.com", "CAA", `0 issue "letsencrypt.org"`, `0 issue "digicert.com"`)))},
		{name: "aws/challenge-cname-removed", changes: base(deletes("aws_route53_record.challenge", record53(zone1, "_acme-challenge.shop.example.com", "CNAME", "shop.acme.example.net")))},
		{name: "aws/challenge-txt-added", changes: base(creates("aws_route53_record.challenge", record53(zone1, "_acme-challenge.shop.example.com", "TXT", "gfj9Xq...Rg85nM")))},
		{name: "aws/validation-removed", changes: base(validation, keeps("aws_acm_certificate.www", certificate))},
		{name: "aws/validation-removed-with-its-certificate", changes: base(validation, deletes("aws_acm_certificate.www", certificate))},
		{name: "aws/delegation-removed", changes: base(deletes("aws_route53_record.ns", record53(zone1, "eu.example.com", "NS", "ns-1.awsdns-01.org.", "ns-2.awsdns-02.com.")))},
		{name: "aws/delegation-of-a-zone-in-use-removed", changes: base(keeps(cmAttach, cmHeld), deletes("aws_route53_record.ns", record53(zone2, "example.com", "NS", "ns-1.awsdns-01.org.", "ns-2.awsdns-02.com.")))},
		{name: "aws/signing-key-removed", changes: base(deletes("aws_route53_key_signing_key.main", attrs{"hosted_zone_id": zone1, "name": "ksk1", "status": "ACTIVE", "id": zone1 + ",ksk1"}))},
		{name: "aws/service-control-policy", changes: []Change{
			creates("aws_organizations_policy_attachment.root", attrs{"policy_id": "p-1", "target_id": "r-a1b2"}), keeps("aws_organizations_policy.freeze", attrs{"id": "p-1", "name": "freeze", "type": "SERVICE_CONTROL_POLICY", "content": doc(deny("*", "route53:*"))}),
		}},
		{name: "aws/external-dns", changes: []Change{deletes("aws_iam_role_policy.dns", inline("external-dns", "dns", dnsDoc(zone1))), keeps("aws_iam_role.external_dns", role("external-dns", trusts(awsIssuer, "system:serviceaccount:kube-system:external-dns")))}},
		{name: "aws/instance-profile-removed", changes: []Change{
			keeps("aws_iam_role.web", role("web", doc(attrs{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": attrs{"Service": "ec2.amazonaws.com"}}))),
			keeps("aws_iam_role_policy.dns", inline("web", "certbot", dnsDoc(zone1))), deletes("aws_iam_instance_profile.web", attrs{"name": "web", "role": "web", "id": "web"}),
		}},
		{name: "aws/policy-held-elsewhere", changes: []Change{updates("aws_iam_policy.dns", managed("dns-writers", dnsDoc("*")), managed("dns-writers", dnsDoc(zone2)))}},
		{name: "aws/policy-held-elsewhere-known", changes: []Change{updates("aws_iam_policy.dns", managed("dns-writers", dnsDoc("*")), managed("dns-writers", dnsDoc(zone2)))}, inventory: awsInventory(awsAccount + "role/cert-manager")},
		{name: "aws/policy-of-the-renewer-held-elsewhere", changes: []Change{updates(cmPolicyAt, cmPolicy, with(cmPolicy, "policy", dnsDoc(zone2))), keeps("aws_iam_policy.s3", managed("s3", doc(allow("*", "s3:*"))))}},
		{name: "aws/count-shifts", changes: base(keeps("aws_iam_policy.logs", managed("logs", doc(allow("*", "logs:*")))),
			replaces("aws_iam_role_policy_attachment.all[0]", attached("cert-manager", awsAccount+"policy/logs"), without(cmHeld, "id"), unknowns("id")),
			deletes("aws_iam_role_policy_attachment.all[1]", cmHeld))},
		{name: "aws/role-own-inline", changes: []Change{updates(cmRoleAt, with(cmRole, "inline_policy", []attrs{{"name": "dns", "policy": dnsDoc(zone1)}}), with(cmRole, "inline_policy", []attrs{{"name": "dns", "policy": doc(allow("*", "s3:*"))}})), zoneAt}},
		{name: "aws/boundary-narrowed-in-place", changes: []Change{
			keeps(cmRoleAt, with(cmRole, "permissions_boundary", awsAccount+"policy/limits")), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt,
			updates("aws_iam_policy.limits", managed("limits", doc(allow("*", "*"))), managed("limits", doc(attrs{"Effect": "Allow", "NotAction": []string{"route53:*"}, "Resource": "*"}))),
		}},
		{name: "aws/lists-zones-through-another-policy", changes: base(keeps("aws_iam_role_policy.change", inline("cert-manager", "change", doc(allow(zoneARN(zone1), "route53:ChangeResourceRecordSets")))),
			updates("aws_iam_role_policy.list", inline("cert-manager", "list", doc(allow("*", "route53:ListHostedZonesByName", "route53:GetChange"))), inline("cert-manager", "list", doc(allow("*", "route53:GetChange")))))},
		{name: "aws/role-forgotten", changes: []Change{change(Forget, cmRoleAt, cmRole, nil, nil), keeps(cmPolicyAt, cmPolicy), keeps(cmAttach, cmHeld), zoneAt}},
		{name: "aws/same-name-in-another-account", changes: []Change{
			keeps("module.prod.aws_iam_role.cm", cmRole), deletes("module.prod.aws_iam_role_policy_attachment.cm", attached("cert-manager", "arn:aws:iam::aws:policy/AmazonRoute53FullAccess")),
			keeps("module.test.aws_iam_role.cm", with(cmRole, "arn", "arn:aws:iam::999999999999:role/cert-manager")), keeps("module.test.aws_iam_role_policy_attachment.cm", attached("cert-manager", "arn:aws:iam::aws:policy/AmazonRoute53FullAccess")),
		}},
		{name: "aws/goes-on-as-another-role", changes: []Change{
			keeps("aws_iam_role.dns", role("zones", doc(attrs{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": attrs{"AWS": awsAccount + "role/cert-manager"}}))),
			keeps("aws_iam_role_policy.dns", inline("zones", "dns", dnsDoc(zone1))), keeps(cmRoleAt, cmRole),
			deletes("aws_iam_role_policy.assume", inline("cert-manager", "assume", doc(allow(awsAccount+"role/zones", "sts:AssumeRole")))),
		}},
		{name: "aws/goes-on-as-a-role-elsewhere", changes: []Change{
			keeps(cmRoleAt, cmRole), updates("aws_iam_role_policy.assume", inline("cert-manager", "assume", doc(allow("arn:aws:iam::999999999999:role/zones", "sts:AssumeRole"))),
				inline("cert-manager", "assume", doc(allow("arn:aws:iam::888888888888:role/zones", "sts:AssumeRole")))),
		}},
		{name: "aws/trust-of-who-goes-on", changes: []Change{
			keeps("aws_iam_role.dns", role("zones", doc(attrs{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": attrs{"AWS": awsAccount + "role/certs"}}))),
			keeps("aws_iam_role_policy.dns", inline("zones", "dns", dnsDoc(zone1))),
			updates("aws_iam_role.certs", role("certs", trusts(awsIssuer, "system:serviceaccount:certs:certs")), role("certs", trusts("oidc.eks.eu-west-1.amazonaws.com/id/NEW", "system:serviceaccount:certs:certs"))),
			keeps("aws_iam_role_policy.assume", inline("certs", "assume", doc(allow(awsAccount+"role/zones", "sts:AssumeRole")))),
		}},
		{name: "aws/condition-names-kept-known", changes: narrowedTo("_acme-challenge.shop.example.com"), inventory: awsInventory(awsAccount + "role/cert-manager")},
		{name: "aws/condition-names-lost-known", changes: narrowedTo("_acme-challenge.www.example.com"), inventory: awsInventory(awsAccount + "role/cert-manager")},
		{name: "aws/idle-role-removed", changes: []Change{deletes("aws_iam_role.web", role("web", podTrust)), deletes("aws_iam_role_policy_attachment.web", attached("web", awsAccount+"policy/shared"))}},
		{name: "aws/idle-role-removed-known", changes: []Change{deletes("aws_iam_role.web", role("web", podTrust)), deletes("aws_iam_role_policy_attachment.web", attached("web", awsAccount+"policy/shared"))}, inventory: awsInventory(awsAccount + "role/web")},
		{name: "aws/idle-role-detached-known", changes: []Change{keeps("aws_iam_role.web", role("web", podTrust)), deletes("aws_iam_role_policy_attachment.web", attached("web", awsAccount+"policy/shared"))}, inventory: awsInventory(awsAccount + "role/web")},
		{name: "aws/authoritative-all-new", changes: []Change{
			change(Create, cmPolicyAt, nil, without(cmPolicy, "arn", "id"), unknowns("arn", "id")),
			change(Create, "aws_iam_policy_attachment.cert_manager_dns", nil, attrs{"name": "dns", "roles": []string{"cert-manager"}, "users": []string{}, "groups": []string{}}, unknowns("policy_arn", "id")),
		}},
		{name: "aws/exclusive-elsewhere", changes: []Change{creates("aws_iam_role_policies_exclusive.cm", attrs{"role_name": "cert-manager", "policy_names": []string{}})}},
		{name: "aws/addon-removed", changes: base(keeps(cmAttach, cmHeld), deletes("aws_eks_addon.cm", attrs{"addon_name": "cert-manager", "cluster_name": "prod", "addon_version": "v1.18.2-eksbuild.2", "service_account_role_arn": awsAccount + "role/cert-manager"}))},
		{name: "aws/addon-other-role", changes: base(keeps(cmAttach, cmHeld), updates("aws_eks_addon.cm", attrs{"addon_name": "cert-manager", "cluster_name": "prod", "service_account_role_arn": awsAccount + "role/cert-manager"}, attrs{"addon_name": "cert-manager", "cluster_name": "prod", "service_account_role_arn": awsAccount + "role/other"}))},
		{name: "aws/one-zone-of-two-known", changes: []Change{keeps(cmRoleAt, cmRole), updates(cmPolicyAt, with(cmPolicy, "policy", dnsDoc(zone1, zone2)), cmPolicy), keeps(cmAttach, cmHeld), zoneAt}, inventory: Inventory{At: sceneTime, Certificates: []Certificate{
			{Name: "shop", Names: []string{"shop.example.com"}, Identities: []string{awsAccount + "role/cert-manager"}, Zones: []string{zone1}, Challenge: "dns-01", Next: sceneTime.Add(6 * 24 * time.Hour)},
			{Name: "mail", Names: []string{"mail.example.net"}, Identities: []string{awsAccount + "role/cert-manager"}, Zones: []string{zone2}, Challenge: "dns-01", Next: sceneTime.Add(9 * 24 * time.Hour)},
		}}},
		{name: "aws/drifted-and-given-back", changes: base(change(Create, cmAttach, nil, without(cmHeld, "id"), unknowns("id"))), flags: attrs{"resource_drift": []any{drifted}}},
		{name: "aws/drifted-and-not-given-back", changes: base(), flags: attrs{"resource_drift": []any{drifted}}},
		{name: "aws/list-becomes-attachment", changes: []Change{keeps(cmRoleAt, with(cmRole, "managed_policy_arns", []string{cmARN})), keeps(cmPolicyAt, cmPolicy), creates(cmAttach, without(cmHeld, "id")), zoneAt}},
		{name: "aws/list-emptied-for-attachment", changes: []Change{updates(cmRoleAt, with(cmRole, "managed_policy_arns", []string{cmARN}), with(cmRole, "managed_policy_arns", []string{})), keeps(cmPolicyAt, cmPolicy), creates(cmAttach, without(cmHeld, "id")), zoneAt}},
		{name: "aws/authoritative-drops-one", changes: base(updates("aws_iam_policy_attachment.dns", attrs{"name": "dns", "policy_arn": cmARN, "roles": []string{"cert-manager", "lego"}}, attrs{"name": "dns", "policy_arn": cmARN, "roles": []string{"lego"}}))},
		{name: "aws/two-resources-for-one-attachment", changes: base(keeps(cmAttach, cmHeld), deletes("aws_iam_policy_attachment.dns", attrs{"name": "dns", "policy_arn": cmARN, "roles": []string{"cert-manager"}}))},
		{name: "aws/all-new", changes: []Change{
			change(Create, cmRoleAt, nil, without(cmRole, "arn", "id", "unique_id", "managed_policy_arns", "inline_policy"), unknowns("arn", "id", "unique_id", "managed_policy_arns", "inline_policy")),
			change(Create, cmPolicyAt, nil, without(cmPolicy, "arn", "id", "policy"), unknowns("arn", "id", "policy")),
			change(Create, cmAttach, nil, attrs{"role": "cert-manager"}, unknowns("policy_arn", "id")),
			change(Create, "aws_route53_zone.main", nil, attrs{"name": "example.com", "vpc": []attrs{}}, unknowns("zone_id", "id", "arn")),
			change(Create, "aws_eks_pod_identity_association.cm", nil, attrs{"cluster_name": "prod", "namespace": "cert-manager", "service_account": "cert-manager"}, unknowns("role_arn", "association_arn")),
		}},
		{name: "aws/words-change", changes: []Change{
			updates(cmRoleAt, cmRole, with(cmRole, "max_session_duration", 7200, "tags", attrs{"team": "sre"})),
			updates(cmPolicyAt, cmPolicy, with(cmPolicy, "description", "new", "policy", dnsDocAgain)), keeps(cmAttach, cmHeld),
			updates("aws_route53_zone.main", zone53("example.com", zone1), with(zone53("example.com", zone1), "comment", "new")),
			updates("aws_iam_openid_connect_provider.eks", provider, with(provider, "thumbprint_list", []string{"9e99a48a9960b14926bb7f3b02e22da2b0ab7280"}, "client_id_list", []string{"sts.amazonaws.com", "vault"})),
			updates("aws_route53_record.ns", record53(zone1, "eu.example.com", "NS", "ns-1.awsdns-01.org.", "ns-2.awsdns-02.com."), record53(zone1, "eu.example.com", "NS", "ns-1.awsdns-01.org", "ns-3.awsdns-03.net")),
		}},
		{name: "aws/domain-delegated-elsewhere", changes: []Change{zoneAt, updates("aws_route53domains_registered_domain.main",
			attrs{"domain_name": "example.com", "name_server": []attrs{{"name": "ns-1.awsdns-01.org"}, {"name": "ns-2.awsdns-02.com"}}}, attrs{"domain_name": "example.com", "name_server": []attrs{{"name": "ada.ns.cloudflare.com"}}})}},
		{name: "aws/many-harmless", changes: awsHarmless()},
	}
}

// awsHarmless are a hundred deletions that look worse than they are.
func awsHarmless() []Change {
	out := base(keeps(cmAttach, cmHeld))
	for i := range 20 {
		n := fmt.Sprintf("app-%d", i)
		out = append(out,
			deletes(fmt.Sprintf("aws_iam_role.app[%d]", i), role(n, trusts(awsIssuer, "system:serviceaccount:default:"+n))),
			deletes(fmt.Sprintf("aws_iam_policy.app[%d]", i), managed(n, doc(allow("*", "s3:*", "sqs:SendMessage")))),
			deletes(fmt.Sprintf("aws_iam_role_policy_attachment.app[%d]", i), attached(n, awsAccount+"policy/"+n)),
			deletes(fmt.Sprintf("aws_iam_role_policy_attachment.ssm[%d]", i), attached(n, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")),
			deletes(fmt.Sprintf("aws_iam_role_policy_attachment.shared[%d]", i), attached(n, awsAccount+"policy/company-logging")),
		)
	}
	private := with(zone53("corp.internal", zone2), "vpc", []attrs{{"vpc_id": "vpc-1"}})
	return append(out,
		deletes("aws_route53_zone.private", private),
		deletes("aws_iam_openid_connect_provider.github", attrs{"url": "https://token.actions.githubusercontent.com", "client_id_list": []string{"sts.amazonaws.com"}}),
		deletes("aws_eks_cluster.test", attrs{"name": "test", "identity": []attrs{{"oidc": []attrs{{"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/TEST"}}}}}),
		deletes("aws_iam_access_key.ci", attrs{"user": "ci", "id": "AKIAIOSFODNN7EXAMPLE", "status": "Active"}),
		deletes("aws_route53_record.www", record53(zone1, "www.example.com", "A", "192.0.2.1")),
		deletes("aws_route53_record.spf", record53(zone1, "example.com", "TXT", "v=spf1 -all")),
	)
}

func TestAWSCorpus(t *testing.T) { playSaid(t, awsScenes(), awsSaid, "awsSaid", "aws_said_test.go") }

// playSaid plays scenes whose sentences stand in a map of their own, by the scenes' names. With -update it writes what is said
// now to the map's file: read the difference, and run the test again.
func playSaid(t *testing.T, scenes []scene, said map[string][]string, name, file string) {
	t.Helper()
	if *update {
		var b bytes.Buffer
		fmt.Fprintf(&b, "package iac\n\n// %s is what is said about scenes, by their names; about those that are not here, nothing.\nvar %s = map[string][]string{\n", name, name)
		for _, s := range scenes {
			p, err := Read(bytes.NewReader(s.plan()), ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			found := Judge(p, s.inventory).Findings
			if len(found) == 0 {
				delete(said, s.name)
				continue
			}
			said[s.name] = nil
			fmt.Fprintf(&b, "%q: {\n", s.name)
			for _, f := range found {
				line := fmt.Sprintf("%s %s: %s", f.Class, f.Address, f.Summary)
				said[s.name] = append(said[s.name], line)
				if strings.Contains(line, `"`) && strconv.CanBackquote(line) {
					fmt.Fprintf(&b, "`%s`,\n", line)
				} else {
					fmt.Fprintf(&b, "%q,\n", line)
				}
			}
			b.WriteString("},\n")
		}
		b.WriteString("}\n")
		out, err := format.Source(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range scenes {
		scenes[i].want = said[scenes[i].name]
	}
	play(t, scenes)
}

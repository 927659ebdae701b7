package iac

import (
	"encoding/json"
	"testing"
)

// What the scenes at Google are about: cert-manager in GKE, whose Kubernetes service account acts as a service account of
// Google that may write to Cloud DNS.
const (
	gproject = "shop-prod"
	gemail   = "cert-manager@shop-prod.iam.gserviceaccount.com"
	gmember  = "serviceAccount:" + gemail
	gaccount = "projects/shop-prod/serviceAccounts/" + gemail
	gpod     = "serviceAccount:shop-prod.svc.id.goog[cert-manager/cert-manager]"
)

func gGrant(role, member string) attrs {
	return attrs{"id": gproject + "/" + role + "/" + member, "project": gproject, "role": role, "member": member, "condition": []any{}, "etag": "BwY="}
}

func gBinding(role string, members ...any) attrs {
	return attrs{"id": gproject + "/" + role, "project": gproject, "role": role, "members": members, "condition": []any{}}
}

func gIf(a attrs, expression string) attrs {
	return altered(a, "condition", []any{attrs{"title": "only", "description": "", "expression": expression}})
}

// altered is a copy of a with some values set.
func altered(a attrs, pairs ...any) attrs {
	out := attrs{}
	for k, v := range a {
		out[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if out[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(out, pairs[i].(string))
		}
	}
	return out
}

func gPolicy(bindings ...any) attrs {
	data, err := json.Marshal(attrs{"bindings": bindings})
	if err != nil {
		panic(err)
	}
	return attrs{"id": gproject, "project": gproject, "policy_data": string(data)}
}

func gAccount(unique string) attrs {
	return attrs{"id": gaccount, "account_id": "cert-manager", "email": gemail, "project": gproject, "unique_id": unique, "disabled": false, "name": gaccount, "member": gmember}
}

func gZone(name, dns string) attrs {
	return attrs{"id": "projects/" + gproject + "/managedZones/" + name, "name": name, "dns_name": dns, "project": gproject, "visibility": "public", "name_servers": []any{"ns-cloud-a1.googledomains.com."}}
}

func gZoneGrant(role, member string) attrs {
	return attrs{"id": "projects/" + gproject + "/managedZones/example-com/" + role + "/" + member, "project": gproject, "managed_zone": "example-com", "role": role, "member": member, "condition": []any{}}
}

func gRole(permissions ...any) attrs {
	return attrs{"id": "projects/shop-prod/roles/challenges", "name": "projects/shop-prod/roles/challenges", "project": gproject, "role_id": "challenges", "stage": "GA", "permissions": permissions}
}

func gTrust(member string) attrs {
	return attrs{"id": gaccount + "/roles/iam.workloadIdentityUser/" + member, "service_account_id": gaccount, "role": "roles/iam.workloadIdentityUser", "member": member, "condition": []any{}}
}

func gRecord(name, kind string, values ...any) attrs {
	return attrs{"id": "projects/shop-prod/managedZones/example-com/rrsets/" + name + "/" + kind, "name": name, "type": kind, "ttl": 300, "rrdatas": values, "managed_zone": "example-com", "project": gproject}
}

// gDeny denies a permission to everybody in the project but some.
func gDeny(permission string, spared ...any) attrs {
	return attrs{"parent": "cloudresourcemanager.googleapis.com%2Fprojects%2Fshop-prod", "name": "no-dns", "rules": []any{attrs{"deny_rule": []any{attrs{
		"denied_principals": []any{"principalSet://goog/public:all"}, "denied_permissions": []any{permission}, "exception_principals": spared,
	}}}}}
}

var gEverything = []any{"dns.changes.create", "dns.changes.get", "dns.managedZones.list", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update"}

// gInventory knows one certificate that the account renews.
var gInventory = Inventory{At: sceneTime, Certificates: []Certificate{{
	Name: "shop", Names: []string{"shop.example.com"}, Renewer: "cluster", Identities: []string{gemail}, Zones: []string{"example.com"},
	Issuers: []string{"letsencrypt.org"}, Challenge: "dns-01", Next: sceneTime.AddDate(0, 0, 11), NotAfter: sceneTime.AddDate(0, 0, 41),
}}}

const (
	gAdmin  = "roles/dns.admin"
	gDBA    = "serviceAccount:dba@shop-prod.iam.gserviceaccount.com"
	gcm     = "google_project_iam_member.cm"
	gCustom = "projects/shop-prod/roles/challenges"
)

func TestGoogleGrants(t *testing.T) {
	t.Parallel()
	play(t, []scene{
		{name: "google/block-removed", changes: []Change{deletes(gcm, gGrant(gAdmin, gmember))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/block-removed-known", inventory: gInventory, changes: []Change{deletes(gcm, gGrant(gAdmin, gmember))}, want: []string{
			`lost google_project_iam_member.cm: shop stops renewing: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/re-keyed", changes: []Change{
			deletes(`google_project_iam_member.dns["cm"]`, gGrant(gAdmin, gmember)),
			creates(`google_project_iam_member.dns["cert-manager"]`, altered(gGrant(gAdmin, gmember), "id", nil, "etag", nil)),
		}, want: []string{
			`collision google_project_iam_member.dns["cm"]: Renewal may stop: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed at google_project_iam_member.dns["cm"] and made at google_project_iam_member.dns["cert-manager"], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "google/moved", changes: []Change{moved(keeps("module.dns.google_project_iam_member.cm", gGrant(gAdmin, gmember)), gcm)}},
		{name: "google/replaced", changes: []Change{replaces(gcm, gGrant(gAdmin, gmember), altered(gGrant(gAdmin, gmember), "id", nil), attrs{"id": true, "etag": true})}, want: []string{
			`gap google_project_iam_member.cm: Renewal pauses, and stops if the second step fails: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed first and made again afterwards.`,
		}},
		{name: "google/two-members-one-grant", changes: []Change{deletes("google_project_iam_member.old", gGrant(gAdmin, gmember)), keeps(gcm, gGrant(gAdmin, gmember))}, want: []string{
			`lost google_project_iam_member.old: Renewal stops: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed at google_project_iam_member.old; google_project_iam_member.cm is the same object, and goes with it. Nothing shows it until certificates end.`,
		}},
		{name: "google/unknown-principal", changes: []Change{replaces(gcm, gGrant(gAdmin, gmember), altered(gGrant(gAdmin, gmember), "member", nil), attrs{"member": true, "id": true})}, want: []string{
			`unknown google_project_iam_member.cm: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed first and made again, and whether as before nobody can tell: its principal is known only after the apply.`,
		}},
		{name: "google/unknown-project", changes: []Change{replaces(gcm, gGrant(gAdmin, gmember), altered(gGrant(gAdmin, gmember), "project", nil), attrs{"project": true, "id": true})}, want: []string{
			`unknown google_project_iam_member.cm: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed first and made again, and whether as before nobody can tell: its scope is known only after the apply.`,
		}},
		{name: "google/binding-created-elsewhere", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_project_iam_binding.admins", gBinding(gAdmin, gDBA))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, because google_project_iam_binding.admins names everybody who has it, and not this one. Nothing shows it until certificates end.`,
		}},
		{name: "google/binding-created-holders-unseen", changes: []Change{creates("google_project_iam_binding.admins", gBinding(gAdmin, gDBA))}, want: []string{
			`unknown google_project_iam_binding.admins: google_project_iam_binding.admins names everybody who has roles/dns.admin on project shop-prod: whoever else has it today loses it, and this plan does not show who that is.`,
		}},
		{name: "google/binding-created-holders-known", inventory: gInventory, changes: []Change{creates("google_project_iam_binding.admins", gBinding(gAdmin, gDBA))}, want: []string{
			`lost google_project_iam_binding.admins: shop stops renewing: google_project_iam_binding.admins names everybody who has roles/dns.admin on project shop-prod, and not whoever renews them. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/binding-created-names-it", inventory: gInventory, changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_project_iam_binding.admins", gBinding(gAdmin, gDBA, gmember))}},
		{name: "google/binding-shrunk", changes: []Change{updates("google_project_iam_binding.dns", gBinding(gAdmin, gmember, gDBA), gBinding(gAdmin, gDBA))}, want: []string{
			`lost google_project_iam_binding.dns: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/binding-of-another-role", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_project_iam_binding.viewers", gBinding("roles/viewer", gDBA))}},
		{name: "google/binding-destroyed-takes-member", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), deletes("google_project_iam_binding.dns", gBinding(gAdmin, gDBA))}, want: []string{
			`lost google_project_iam_binding.dns: Renewal stops: dba@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin (which google_project_iam_binding.dns, destroyed, takes from everybody) on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/binding-becomes-members", changes: []Change{deletes("google_project_iam_binding.dns", gBinding(gAdmin, gmember)), creates(gcm, gGrant(gAdmin, gmember))}, want: []string{
			`collision google_project_iam_binding.dns: Renewal may stop: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed at google_project_iam_binding.dns and made at google_project_iam_member.cm, in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "google/policy-created", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_project_iam_policy.all", gPolicy(attrs{"role": "roles/owner", "members": []any{"user:ceo@example.com"}}))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, because google_project_iam_policy.all names everybody who has it, and not this one. Nothing shows it until certificates end.`,
		}},
		{name: "google/policy-edited", changes: []Change{updates("google_project_iam_policy.all",
			gPolicy(attrs{"role": gAdmin, "members": []any{gmember}}, attrs{"role": "roles/viewer", "members": []any{gDBA}}), gPolicy(attrs{"role": "roles/viewer", "members": []any{gDBA}}))}, want: []string{
			`lost google_project_iam_policy.all: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/policy-edited-elsewhere", changes: []Change{updates("google_project_iam_policy.all",
			gPolicy(attrs{"role": gAdmin, "members": []any{gmember}}, attrs{"role": "roles/viewer", "members": []any{gDBA}}), gPolicy(attrs{"role": gAdmin, "members": []any{gmember}}))}},
		{name: "google/policy-unknown", changes: []Change{updates("google_project_iam_policy.all", gPolicy(attrs{"role": gAdmin, "members": []any{gmember}}), attrs{"project": gproject}), func() Change {
			c := updates("google_project_iam_policy.more", gPolicy(attrs{"role": "roles/viewer", "members": []any{gDBA}}), attrs{"project": gproject})
			c.Unknown = attrs{"policy_data": true}
			return c
		}()}, want: []string{
			`unknown google_project_iam_policy.all: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod changes, and nobody can tell whether renewal goes on: its principal, permission and condition are known only after the apply.`,
			`unknown google_project_iam_policy.all: google_project_iam_policy.all names everybody who has the right to write, withdraw and read on project shop-prod: whoever else has it today loses it, and this plan does not show who that is.`,
		}},
		{name: "google/policy-created-unknown", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), change(Create, "google_project_iam_policy.all", nil, attrs{"project": gproject}, attrs{"policy_data": true})}, want: []string{
			`unknown google_project_iam_member.cm: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod changes, and nobody can tell whether renewal goes on: who holds it then is known only after google_project_iam_policy.all is applied.`,
			`unknown google_project_iam_policy.all: google_project_iam_policy.all names everybody who has the right to write, withdraw and read on project shop-prod: whoever else has it today loses it, and this plan does not show who that is.`,
		}},
		{name: "google/binding-created-unknown", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), change(Create, "google_project_iam_binding.all", nil, attrs{"project": gproject, "role": gAdmin}, attrs{"members": true})}, want: []string{
			`unknown google_project_iam_binding.all: google_project_iam_binding.all names everybody who has roles/dns.admin on project shop-prod: whoever else has it today loses it, and this plan does not show who that is.`,
			`unknown google_project_iam_member.cm: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod changes, and nobody can tell whether renewal goes on: who holds it then is known only after google_project_iam_binding.all is applied.`,
		}},
		{name: "google/condition-added", changes: []Change{replaces(gcm, gGrant(gAdmin, gmember), gIf(gGrant(gAdmin, gmember), `request.time < timestamp("2026-10-01T00:00:00Z")`), nil)}, want: []string{
			`narrowed google_project_iam_member.cm: Renewal is cut back: cert-manager@shop-prod.iam.gserviceaccount.com keeps roles/dns.admin (with a condition) on project shop-prod only under a condition: request.time < timestamp("2026-10-01T00:00:00Z"). Nothing shows it until certificates end.`,
		}},
		{name: "google/wider-role-made", changes: []Change{deletes("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)), creates(gcm, gGrant(gAdmin, gmember))}, want: []string{
			`gap google_dns_managed_zone_iam_member.cm: Renewal pauses, and stops if the second step fails: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on zone example-com of project shop-prod goes, and google_project_iam_member.cm, which replaces it, is made in no order with that.`,
		}},
		{name: "google/wider-role-stays", changes: []Change{deletes("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)), keeps(gcm, gGrant(gAdmin, gmember))}},
		{name: "google/organization-covers", changes: []Change{
			keeps("google_project.shop", attrs{"project_id": gproject, "org_id": "4711", "folder_id": ""}), deletes(gcm, gGrant(gAdmin, gmember)),
			keeps("google_organization_iam_member.cm", attrs{"id": "4711/roles/dns.admin/" + gmember, "org_id": "4711", "role": gAdmin, "member": gmember}),
		}},
		{name: "google/folder-covers", changes: []Change{
			keeps("google_project.shop", attrs{"project_id": gproject, "org_id": "", "folder_id": "12"}), keeps("google_folder.prod", attrs{"name": "folders/12", "folder_id": "12", "parent": "organizations/4711"}),
			deletes(gcm, gGrant(gAdmin, gmember)), keeps("google_folder_iam_member.cm", attrs{"folder": "folders/12", "role": gAdmin, "member": gmember}),
		}},
		{name: "google/organization-grant-removed", changes: []Change{deletes("google_organization_iam_member.cm", attrs{"org_id": "4711", "role": gAdmin, "member": gmember})}, want: []string{
			`lost google_organization_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on organization 4711, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/narrowed-to-zone", changes: []Change{deletes(gcm, gGrant(gAdmin, gmember)), creates("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember))}, want: []string{
			`narrowed google_project_iam_member.cm: Renewal is cut back: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod and has only roles/dns.admin on zone example-com of project shop-prod left. Nothing shows it until certificates end.`,
		}},
		{name: "google/zone-is-not-found-any-more", changes: []Change{keeps("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)), deletes("google_project_iam_member.list", gGrant("roles/dns.reader", gmember))}, want: []string{
			`narrowed google_project_iam_member.list: Renewal is cut back: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.reader on project shop-prod and has only roles/dns.admin on zone example-com of project shop-prod left. Nothing shows it until certificates end.`,
		}},
		{name: "google/editor-known-zone", changes: []Change{keeps("google_dns_managed_zone.main", gZone("example-com", "example.com.")), deletes("google_project_iam_member.editor", gGrant("roles/editor", gmember))}, want: []string{
			`lost google_project_iam_member.editor: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/editor on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/editor-no-zone", changes: []Change{deletes("google_project_iam_member.editor", gGrant("roles/editor", gmember))}, want: []string{
			`unknown google_project_iam_member.editor: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/editor on project shop-prod, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the role allows nearly everything, and no public DNS zone of project shop-prod is in the plan.`,
		}},
		{name: "google/external-dns", changes: []Change{deletes("google_project_iam_member.dns", gGrant(gAdmin, "serviceAccount:external-dns@shop-prod.iam.gserviceaccount.com"))}, want: []string{
			`unknown google_project_iam_member.dns: external-dns@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: it is called like something that writes DNS records for other ends.`,
		}},
		{name: "google/editor-goes-dns-admin-stays", changes: []Change{deletes("google_project_iam_member.editor", gGrant("roles/editor", gmember)), keeps("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)), keeps("google_dns_managed_zone.main", gZone("example-com", "example.com."))}},
		{name: "google/group", changes: []Change{deletes("google_project_iam_member.team", gGrant(gAdmin, "group:dns@example.com"))}, want: []string{
			`unknown google_project_iam_member.team: The group dns@example.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: whether the renewer is in the group is not in the plan.`,
		}},
		{name: "google/direct-workload", changes: []Change{deletes(gcm, gGrant(gAdmin, "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/shop-prod.svc.id.goog/subject/ns/cert-manager/sa/cert-manager"))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: the Kubernetes service account cert-manager/cert-manager loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/forgotten", changes: []Change{change(Forget, gcm, gGrant(gAdmin, gmember), nil, nil)}, want: []string{
			`orphaned google_project_iam_member.cm: Renewal goes on, but no plan will show when that ends: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod leaves the state and lives on.`,
		}},
		{name: "google/count-shift", changes: []Change{
			replaces("google_project_iam_member.dns[0]", gGrant(gAdmin, gDBA), altered(gGrant(gAdmin, gmember), "id", nil), attrs{"id": true}),
			deletes("google_project_iam_member.dns[1]", gGrant(gAdmin, gmember)),
		}, want: []string{
			`lost google_project_iam_member.dns[0]: Renewal stops: dba@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
			`collision google_project_iam_member.dns[1]: Renewal may stop: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed at google_project_iam_member.dns[1] and made at google_project_iam_member.dns[0], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "google/account-created-with-grant", changes: []Change{creates("google_service_account.cm", attrs{"account_id": "cert-manager", "project": gproject}), creates(gcm, altered(gGrant(gAdmin, gmember), "id", nil))}},
	})
}

func TestGoogleRoles(t *testing.T) {
	t.Parallel()
	grant := keeps(gcm, gGrant(gCustom, gmember))
	play(t, []scene{
		{name: "google/custom-role-edited-delete", changes: []Change{grant, updates("google_project_iam_custom_role.dns", gRole(gEverything...),
			gRole("dns.changes.create", "dns.changes.get", "dns.managedZones.list", "dns.resourceRecordSets.create", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update"))}, want: []string{
			`narrowed google_project_iam_member.cm: Renewal is cut back: on project shop-prod cert-manager@shop-prod.iam.gserviceaccount.com may still write and read challenge records, and no longer withdraw them (google_project_iam_member.cm changes). Nothing shows it until certificates end.`,
		}},
		{name: "google/custom-role-edited-write", changes: []Change{grant, updates("google_project_iam_custom_role.dns", gRole(gEverything...), gRole("dns.changes.get", "dns.resourceRecordSets.list", "dns.managedZones.list"))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses projects/shop-prod/roles/challenges, which google_project_iam_custom_role.dns empties, on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/custom-role-edited-list", changes: []Change{grant, updates("google_project_iam_custom_role.dns", gRole(gEverything...),
			gRole("dns.changes.create", "dns.changes.get", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update"))}, want: []string{
			`narrowed google_project_iam_member.cm: Renewal is cut back: on project shop-prod cert-manager@shop-prod.iam.gserviceaccount.com may still write and withdraw challenge records, and no longer read them (google_project_iam_member.cm changes). Nothing shows it until certificates end.`,
		}},
		{name: "google/custom-role-edited-harmless", changes: []Change{grant, updates("google_project_iam_custom_role.dns", gRole(append([]any{"dns.policies.list"}, gEverything...)...), gRole(gEverything...))}},
		{name: "google/custom-role-removed", changes: []Change{grant, deletes("google_project_iam_custom_role.dns", gRole(gEverything...))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses projects/shop-prod/roles/challenges, which goes with google_project_iam_custom_role.dns, on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/custom-role-imported-elsewhere", changes: []Change{grant, deletes("google_project_iam_custom_role.dns", altered(gRole(gEverything...), "id", gCustom)), keeps("google_project_iam_custom_role.same", altered(gRole(gEverything...), "id", gCustom))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses projects/shop-prod/roles/challenges, which goes with google_project_iam_custom_role.dns, on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
		{name: "google/custom-role-forgotten", changes: []Change{grant, change(Forget, "google_project_iam_custom_role.dns", altered(gRole(gEverything...), "id", gCustom), nil, nil)}, want: []string{
			`orphaned google_project_iam_custom_role.dns: Renewal goes on, but no plan will show when that ends: projects/shop-prod/roles/challenges of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod rests on google_project_iam_custom_role.dns, which leaves the state and lives on.`,
		}},
		{name: "google/custom-role-not-in-plan", changes: []Change{deletes(gcm, gGrant(gCustom, gmember))}, want: []string{
			`unknown google_project_iam_member.cm: cert-manager@shop-prod.iam.gserviceaccount.com loses projects/shop-prod/roles/challenges on project shop-prod, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: what the custom role projects/shop-prod/roles/challenges allows is not in the plan.`,
		}},
		{name: "google/custom-role-of-others", changes: []Change{keeps("google_project_iam_custom_role.dns", gRole("storage.objects.get")), deletes(gcm, gGrant(gCustom, gmember))}},
		{name: "google/custom-role-disabled", changes: []Change{grant, updates("google_project_iam_custom_role.dns", gRole(gEverything...), altered(gRole(gEverything...), "stage", "DISABLED"))}, want: []string{
			`lost google_project_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses projects/shop-prod/roles/challenges, which google_project_iam_custom_role.dns empties, on project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.`,
		}},
	})
}

func TestGoogleAccounts(t *testing.T) {
	t.Parallel()
	nodes := func(mode string) attrs {
		return attrs{"id": "np", "name": "pool-1", "cluster": "main", "project": gproject, "node_count": 3, "node_config": []any{attrs{"machine_type": "e2-standard-4", "workload_metadata_config": []any{attrs{"mode": mode}}}}}
	}
	whole := func(own, other string) attrs {
		config := func(mode string) []any {
			return []any{attrs{"workload_metadata_config": []any{attrs{"mode": mode}}}}
		}
		return attrs{
			"id": "c", "name": "main", "project": gproject, "workload_identity_config": []any{attrs{"workload_pool": "shop-prod.svc.id.goog"}}, "node_config": config(own),
			"node_pool": []any{attrs{"name": "pool-2", "node_config": config(other)}},
		}
	}
	grant := keeps(gcm, gGrant(gAdmin, gmember))
	trust := "google_service_account_iam_member.wi"
	key := attrs{"id": gaccount + "/keys/1", "service_account_id": gaccount, "name": gaccount + "/keys/1"}
	play(t, []scene{
		{name: "google/account-re-created", changes: []Change{grant, replaces("google_service_account.cm", gAccount("1"), altered(gAccount("1"), "unique_id", nil, "id", nil), attrs{"unique_id": true, "id": true})}, want: []string{
			`lost google_service_account.cm: Renewal stops: the identity cert-manager@shop-prod.iam.gserviceaccount.com is made anew, and it gets another unique id, and roles that name it go on naming the deleted one. Nothing shows it until certificates end.`,
		}},
		{name: "google/account-re-created-with-grant", changes: []Change{
			replaces(gcm, gGrant(gAdmin, gmember), gGrant(gAdmin, gmember), nil),
			replaces("google_service_account.cm", gAccount("1"), altered(gAccount("1"), "unique_id", nil, "id", nil), attrs{"unique_id": true, "id": true}),
		}, want: []string{
			`gap google_project_iam_member.cm: Renewal pauses, and stops if the second step fails: roles/dns.admin of cert-manager@shop-prod.iam.gserviceaccount.com on project shop-prod is destroyed first and made again afterwards.`,
			`gap google_service_account.cm: Renewal pauses, and stops if the second step fails: the identity cert-manager@shop-prod.iam.gserviceaccount.com is destroyed first and made again afterwards.`,
		}},
		{name: "google/account-removed", changes: []Change{deletes(gcm, gGrant(gAdmin, gmember)), deletes("google_service_account.cm", gAccount("1"))}, want: []string{
			`lost google_service_account.cm: Renewal stops: the identity cert-manager@shop-prod.iam.gserviceaccount.com is destroyed. Nothing shows it until certificates end.`,
		}},
		{name: "google/account-disabled", changes: []Change{grant, updates("google_service_account.cm", gAccount("1"), altered(gAccount("1"), "disabled", true))}, want: []string{
			`lost google_service_account.cm: Renewal stops: the identity cert-manager@shop-prod.iam.gserviceaccount.com changes, so nobody can act as it while it is disabled. Nothing shows it until certificates end.`,
		}},
		{name: "google/account-described", changes: []Change{grant, updates("google_service_account.cm", gAccount("1"), altered(gAccount("1"), "description", "renews"))}},
		{name: "google/account-re-created-with-unseen-role", changes: []Change{keeps(gcm, gGrant(gCustom, gmember)), replaces("google_service_account.cm", gAccount("1"), altered(gAccount("1"), "unique_id", nil, "id", nil), attrs{"unique_id": true, "id": true})}, want: []string{
			`unknown google_service_account.cm: The identity cert-manager@shop-prod.iam.gserviceaccount.com is made anew, and it gets another unique id, and roles that name it go on naming the deleted one. Nobody can tell from this plan whether renewal rests on it: it holds a custom role that is not in the plan.`,
		}},
		{name: "google/account-known", inventory: gInventory, changes: []Change{deletes("google_service_account.cm", gAccount("1"))}, want: []string{
			`lost google_service_account.cm: shop stops renewing: the identity cert-manager@shop-prod.iam.gserviceaccount.com is destroyed. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/trust-removed", changes: []Change{grant, deletes(trust, gTrust(gpod))}, want: []string{
			`lost google_service_account_iam_member.wi: Renewal stops: the trust by which a workload acts as cert-manager@shop-prod.iam.gserviceaccount.com is destroyed, so the Kubernetes service account cert-manager/cert-manager can no longer act as it. Nothing shows it until certificates end.`,
		}},
		{name: "google/trust-changed", changes: []Change{grant, replaces(trust, gTrust(gpod), gTrust("serviceAccount:shop-prod.svc.id.goog[security/cert-manager]"), nil)}, want: []string{
			`lost google_service_account_iam_member.wi: Renewal stops: the trust by which a workload acts as cert-manager@shop-prod.iam.gserviceaccount.com is destroyed, so the Kubernetes service account cert-manager/cert-manager can no longer act as it. Nothing shows it until certificates end.`,
		}},
		{name: "google/trust-unknown", changes: []Change{grant, replaces(trust, gTrust(gpod), altered(gTrust(gpod), "member", nil), attrs{"member": true})}, want: []string{
			`unknown google_service_account_iam_member.wi: The trust by which a workload acts as cert-manager@shop-prod.iam.gserviceaccount.com is destroyed first and made again, and whether as before nobody can tell: its scope is known only after the apply.`,
		}},
		{name: "google/trust-re-keyed", changes: []Change{grant, deletes(trust+`["a"]`, gTrust(gpod)), creates(trust+`["b"]`, altered(gTrust(gpod), "id", nil))}, want: []string{
			`collision google_service_account_iam_member.wi["a"]: Renewal may stop: the trust by which a workload acts as cert-manager@shop-prod.iam.gserviceaccount.com is destroyed at google_service_account_iam_member.wi["a"] and made at google_service_account_iam_member.wi["b"], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "google/trust-binding-takes-over", changes: []Change{grant, keeps(trust, gTrust(gpod)), creates("google_service_account_iam_binding.wi", attrs{
			"service_account_id": gaccount, "role": "roles/iam.workloadIdentityUser", "members": []any{"serviceAccount:shop-prod.svc.id.goog[other/other]"},
		})}, want: []string{
			`lost google_service_account_iam_member.wi: Renewal stops: the trust by which a workload acts as cert-manager@shop-prod.iam.gserviceaccount.com changes, so the Kubernetes service account cert-manager/cert-manager can no longer act as it, as google_service_account_iam_binding.wi names everybody who may, and does not name it. Nothing shows it until certificates end.`,
		}},
		{name: "google/trust-of-the-project-removed", changes: []Change{grant, deletes("google_project_iam_member.wi", gGrant("roles/iam.workloadIdentityUser", gpod))}, want: []string{
			`lost google_project_iam_member.wi: Renewal stops: the trust by which a workload acts as cert-manager@shop-prod.iam.gserviceaccount.com is destroyed, so the Kubernetes service account cert-manager/cert-manager can no longer act as it. Nothing shows it until certificates end.`,
		}},
		{name: "google/trust-of-the-project-covers", changes: []Change{grant, keeps("google_project_iam_member.wi", gGrant("roles/iam.workloadIdentityUser", gpod)), deletes(trust, gTrust(gpod))}},
		{name: "google/trust-of-another-project", changes: []Change{grant, deletes("google_project_iam_member.wi", altered(gGrant("roles/iam.workloadIdentityUser", gpod), "project", "lab"))}},
		{name: "google/trust-of-others", changes: []Change{grant, deletes(trust, altered(gTrust("serviceAccount:shop-prod.svc.id.goog[app/app]"), "service_account_id", "projects/shop-prod/serviceAccounts/app@shop-prod.iam.gserviceaccount.com"))}},
		{name: "google/key-removed", changes: []Change{grant, deletes("google_service_account_key.cm", key)}, want: []string{
			`lost google_service_account_key.cm: Renewal stops: the credential of cert-manager@shop-prod.iam.gserviceaccount.com is destroyed, so whoever signs in with the old one is refused. Nothing shows it until certificates end.`,
		}},
		{name: "google/key-rotated", changes: []Change{grant, replaces("google_service_account_key.cm", key, attrs{"service_account_id": gaccount}, attrs{"id": true, "private_key": true})}, want: []string{
			`lost google_service_account_key.cm: Renewal stops: the credential of cert-manager@shop-prod.iam.gserviceaccount.com is made anew, and the new key has to reach the secret that the renewer reads, and nothing in the plan brings it there. Nothing shows it until certificates end.`,
		}},
		{name: "google/pool-provider-changed", changes: []Change{
			keeps(gcm, gGrant(gAdmin, "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/subject/repo:shop/infra")),
			updates("google_iam_workload_identity_pool_provider.gh", attrs{"workload_identity_pool_id": "ci", "workload_identity_pool_provider_id": "gh", "attribute_condition": "", "oidc": []any{attrs{"issuer_uri": "https://token.actions.githubusercontent.com"}}},
				attrs{"workload_identity_pool_id": "ci", "workload_identity_pool_provider_id": "gh", "attribute_condition": "assertion.repository == 'shop/other'", "oidc": []any{attrs{"issuer_uri": "https://token.actions.githubusercontent.com"}}}),
		}, want: []string{
			`lost google_iam_workload_identity_pool_provider.gh: Renewal stops: the trust by which a workload acts as a service account of Google through the provider gh of the workload identity pool ci changes, so workloads of the pool ci can no longer act as anybody at Google. Nothing shows it until certificates end.`,
		}},
		{name: "google/workload-identity-off", changes: []Change{grant, keeps(trust, gTrust(gpod)), updates("google_container_cluster.main",
			attrs{"name": "main", "workload_identity_config": []any{attrs{"workload_pool": "shop-prod.svc.id.goog"}}}, attrs{"name": "main", "workload_identity_config": []any{}})}, want: []string{
			`lost google_container_cluster.main: Renewal stops: the trust by which a workload acts as a service account of Google from the cluster main changes, so the cluster's workloads can no longer act as service accounts of Google. Nothing shows it until certificates end.`,
		}},
		{name: "google/node-pool-without-workload-identity", changes: []Change{grant, keeps(trust, gTrust(gpod)), updates("google_container_node_pool.main", nodes("GKE_METADATA"), nodes("GCE_METADATA"))}, want: []string{
			`unknown google_container_node_pool.main: The trust by which a workload acts as a service account of Google from the node pool pool-1 changes. Nobody can tell from this plan whether renewal rests on it: its pods then act as the account of the nodes, and on which nodes the renewer runs is not in the plan.`,
		}},
		{name: "google/default-node-pool-without-workload-identity", changes: []Change{grant, keeps(trust, gTrust(gpod)), updates("google_container_cluster.main", whole("GKE_METADATA", "GKE_METADATA"), whole("GCE_METADATA", "GKE_METADATA"))}, want: []string{
			`unknown google_container_cluster.main: The trust by which a workload acts as a service account of Google from the node pool default-pool changes. Nobody can tell from this plan whether renewal rests on it: its pods then act as the account of the nodes, and on which nodes the renewer runs is not in the plan.`,
		}},
		{name: "google/node-pool-in-the-cluster-without-workload-identity", changes: []Change{grant, keeps(trust, gTrust(gpod)), updates("google_container_cluster.main", whole("GKE_METADATA", "GKE_METADATA"), whole("GKE_METADATA", "GCE_METADATA"))}, want: []string{
			`unknown google_container_cluster.main: The trust by which a workload acts as a service account of Google from the node pool pool-2 changes. Nobody can tell from this plan whether renewal rests on it: its pods then act as the account of the nodes, and on which nodes the renewer runs is not in the plan.`,
		}},
		{name: "google/default-node-pool-removed-anyway", changes: []Change{grant, keeps(trust, gTrust(gpod)), updates("google_container_cluster.main", altered(whole("GKE_METADATA", "GKE_METADATA"), "remove_default_node_pool", true), altered(whole("GCE_METADATA", "GKE_METADATA"), "remove_default_node_pool", true))}},
		{name: "google/node-pool-changed", changes: []Change{grant, keeps(trust, gTrust(gpod)), updates("google_container_node_pool.main", nodes("GKE_METADATA"), altered(nodes("GKE_METADATA"), "node_count", 5)), deletes("google_container_node_pool.old", nodes("GKE_METADATA"))}},
		{name: "google/node-pool-of-others", changes: []Change{updates("google_container_node_pool.main", nodes("GKE_METADATA"), nodes("GCE_METADATA"))}},
	})
}

func TestGoogleZones(t *testing.T) {
	t.Parallel()
	zone := keeps("google_dns_managed_zone.main", gZone("example-com", "example.com."))
	api := attrs{"id": "shop-prod/dns.googleapis.com", "project": gproject, "service": "dns.googleapis.com", "disable_on_destroy": true}
	play(t, []scene{
		{name: "google/zone-re-created", changes: []Change{replaces("google_dns_managed_zone.main", gZone("example-com", "example.com."), altered(gZone("example-com", "example.com."), "name_servers", nil, "id", nil), attrs{"name_servers": true, "id": true})}, want: []string{
			`unknown google_dns_managed_zone.main: The zone example.com is made anew, and it gets other name servers than those that its parent names. Nobody can tell from this plan whether renewal rests on it: the plan does not show anybody who writes challenge records in it.`,
		}},
		{name: "google/zone-with-a-writer-re-created", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), replaces("google_dns_managed_zone.main", gZone("example-com", "example.com."), altered(gZone("example-com", "example.com."), "name_servers", nil, "id", nil), attrs{"name_servers": true, "id": true})}, want: []string{
			`lost google_dns_managed_zone.main: Renewal stops: the zone example.com is made anew, and it gets other name servers than those that its parent names. Nothing shows it until certificates end.`,
		}},
		{name: "google/zone-and-its-grant-removed", changes: []Change{deletes("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)), deletes("google_dns_managed_zone.main", gZone("example-com", "example.com."))}, want: []string{
			`lost google_dns_managed_zone.main: Renewal stops: the zone example.com is destroyed. Nothing shows it until certificates end.`,
		}},
		{name: "google/zone-removed", inventory: gInventory, changes: []Change{deletes("google_dns_managed_zone.main", gZone("example-com", "example.com."))}, want: []string{
			`lost google_dns_managed_zone.main: shop stops renewing: the zone example.com is destroyed. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/dnssec-off", changes: []Change{updates("google_dns_managed_zone.main", altered(gZone("example-com", "example.com."), "dnssec_config", []any{attrs{"state": "on"}}), altered(gZone("example-com", "example.com."), "dnssec_config", []any{attrs{"state": "off"}}))}, want: []string{
			`unknown google_dns_managed_zone.main: The zone DNSSEC of the zone example.com changes. Nobody can tell from this plan whether renewal rests on it: as long as its parent has a DS record for it, every resolver that validates refuses the zone, and with it its challenges.`,
		}},
		{name: "google/zone-described", changes: []Change{updates("google_dns_managed_zone.main", gZone("example-com", "example.com."), altered(gZone("example-com", "example.com."), "description", "x"))}},
		{name: "google/project-removed", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), deletes("google_project.shop", attrs{"id": "projects/shop-prod", "project_id": gproject, "deletion_policy": "DELETE"})}, want: []string{
			`lost google_project.shop: Renewal stops: the project shop-prod is destroyed, so its zones, its service accounts and what they may do go with it. Nothing shows it until certificates end.`,
		}},
		{name: "google/project-of-others-removed", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), deletes("google_project.lab", attrs{"project_id": "lab", "deletion_policy": "DELETE"})}, want: []string{
			`unknown google_project.lab: The project lab is destroyed. Nobody can tell from this plan whether renewal rests on it: neither a zone nor an account that renews is in the plan for this project.`,
		}},
		{name: "google/project-abandoned", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), deletes("google_project.shop", attrs{"project_id": gproject, "deletion_policy": "ABANDON"})}},
		{name: "google/deny-added", inventory: gInventory, changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_iam_deny_policy.dns", gDeny("dns.googleapis.com/changes.create"))}, want: []string{
			`blocked google_iam_deny_policy.dns: Renewal is blocked: a deny policy on project shop-prod is added, and nobody whom it names may change records there, whatever they are granted. No certificate of the inventory is known to rest on it.`,
		}},
		{name: "google/deny-spares", inventory: gInventory, changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_iam_deny_policy.dns", gDeny("dns.googleapis.com/changes.create", "principal://iam.googleapis.com/projects/-/serviceAccounts/"+gemail))}},
		{name: "google/deny-spares-somebody", changes: []Change{creates("google_iam_deny_policy.dns", gDeny("dns.googleapis.com/changes.create", "principal://iam.googleapis.com/projects/-/serviceAccounts/"+gemail))}, want: []string{
			`unknown google_iam_deny_policy.dns: A deny policy on project shop-prod is added, and nobody whom it names may change records there, whatever they are granted. Nobody can tell from this plan whether renewal goes on: whether whoever renews is among those whom it spares is not in the plan.`,
		}},
		{name: "google/deny-of-others", inventory: gInventory, changes: []Change{creates("google_iam_deny_policy.sql", gDeny("cloudsql.googleapis.com/instances.delete"))}},
		{name: "google/zone-private", changes: []Change{deletes("google_dns_managed_zone.inside", altered(gZone("inside", "example.com."), "visibility", "private"))}},
		{name: "google/api-off", changes: []Change{zone, deletes("google_project_service.dns", api)}, want: []string{
			`lost google_project_service.dns: Renewal stops: the interface of Cloud DNS is destroyed, so nobody can change a record of project shop-prod while it is switched off. Nothing shows it until certificates end.`,
		}},
		{name: "google/api-left-on", changes: []Change{zone, deletes("google_project_service.dns", altered(api, "disable_on_destroy", false))}},
		{name: "google/api-of-others", changes: []Change{zone, deletes("google_project_service.sql", altered(api, "service", "sqladmin.googleapis.com"))}},
		{name: "google/caa-added", inventory: gInventory, changes: []Change{zone, creates("google_dns_record_set.caa", gRecord("example.com.", "CAA", `0 issue "digicert.com"`))}, want: []string{
			`blocked google_dns_record_set.caa: shop stops renewing: a CAA record on example.com is added, and it lets only digicert.com issue for example.com. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/caa-added-allows", inventory: gInventory, changes: []Change{zone, creates("google_dns_record_set.caa", gRecord("example.com.", "CAA", `0 issue "letsencrypt.org"`))}},
		{name: "google/challenge-delegation-removed", inventory: gInventory, changes: []Change{zone, deletes("google_dns_record_set.ns", gRecord("_acme-challenge.shop.example.com.", "NS", "ns1.acme.example.net."))}, want: []string{
			`lost google_dns_record_set.ns: shop stops renewing: the NS record _acme-challenge.shop.example.com is destroyed, so the authority no longer finds the challenges of shop.example.com, which are answered in the zone that this delegates to. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/challenge-alias-changed", inventory: gInventory, changes: []Change{zone, updates("google_dns_record_set.alias", gRecord("_acme-challenge.shop.example.com.", "CNAME", "shop.acme.example.net."), gRecord("_acme-challenge.shop.example.com.", "CNAME", "shop.old.example.net."))}, want: []string{
			`lost google_dns_record_set.alias: shop stops renewing: the CNAME record _acme-challenge.shop.example.com changes, so the authority no longer finds the challenges of shop.example.com, which are answered where this alias leads. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/static-challenge-added", inventory: gInventory, changes: []Change{zone, creates("google_dns_record_set.txt", gRecord("_acme-challenge.shop.example.com.", "TXT", `"x"`))}, want: []string{
			`blocked google_dns_record_set.txt: shop stops renewing: a static TXT record on _acme-challenge.shop.example.com is added, and it stands where the renewer has to write _acme-challenge.shop.example.com: one of the two overwrites the other, or is refused. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
		{name: "google/other-records-removed", inventory: gInventory, changes: []Change{zone, deletes("google_dns_record_set.mx", gRecord("example.com.", "MX", "10 mail.example.com.")), deletes("google_dns_record_set.a", gRecord("old.example.com.", "A", "192.0.2.1"))}},
	})
}

// What looks frightening in a plan and means nothing to renewal is not mentioned.
func TestGoogleHarmless(t *testing.T) {
	t.Parallel()
	list := []Change{keeps(gcm, gGrant(gAdmin, gmember)), keeps("google_service_account.cm", gAccount("1"))}
	for _, n := range []string{"billing", "ci", "backup", "search", "mail", "etl"} {
		account := "serviceAccount:" + n + "@shop-prod.iam.gserviceaccount.com"
		list = append(list,
			deletes("google_project_iam_member."+n, gGrant("roles/storage.objectAdmin", account)),
			deletes("google_project_iam_member."+n+"_dns", gGrant("roles/dns.reader", account)),
			deletes("google_project_iam_member."+n+"_agent", gGrant("roles/editor", "serviceAccount:service-1@gcp-sa-"+n+".iam.gserviceaccount.com")),
			deletes("google_project_iam_member."+n+"_person", gGrant(gAdmin, "user:"+n+"@example.com")),
			deletes("google_service_account."+n, attrs{"account_id": n, "email": n + "@shop-prod.iam.gserviceaccount.com", "project": gproject, "unique_id": n}),
			deletes("google_service_account_key."+n, attrs{"service_account_id": "projects/shop-prod/serviceAccounts/" + n + "@shop-prod.iam.gserviceaccount.com"}),
			deletes("google_project_iam_binding."+n, gBinding("roles/pubsub.publisher", account)),
			creates("google_project_iam_binding."+n+"_new", gBinding("roles/run.invoker", account)),
		)
	}
	play(t, []scene{
		{name: "google/harmless-deletions", changes: list},
		{name: "google/one-among-many", inventory: gInventory, changes: append([]Change{deletes("google_project_iam_member.cm_again", gGrant(gAdmin, gmember))}, list[1:]...), want: []string{
			`lost google_project_iam_member.cm_again: shop stops renewing: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. shop is due for renewal on 3 Oct 2026 14:55 UTC, in 11 days, and ends on 2 Nov 2026 14:55 UTC, in 41 days; until then everything looks fine.`,
		}},
	})
}

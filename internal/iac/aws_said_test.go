package iac

// awsSaid is what is said about scenes, by their names; about those that are not here, nothing.
var awsSaid = map[string][]string{
	"aws/attachment-removed": {
		"lost aws_iam_role_policy_attachment.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/attachment-removed-known": {
		"lost aws_iam_role_policy_attachment.cert_manager: shop stops renewing: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. shop is due for renewal on 28 Sep 2026 14:55 UTC, in 6 days, and ends on 28 Oct 2026 14:55 UTC, in 36 days; until then everything looks fine.",
	},
	"aws/attachment-removed-somebody-else": {
		"lost aws_iam_role_policy_attachment.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. No certificate of the inventory is known to rest on it.",
	},
	"aws/inline-removed": {
		"lost aws_iam_role_policy.dns: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (inline policy dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/everything-removed": {
		"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager is destroyed, so nothing can act as it, and what was granted to it is gone. Nothing shows it until certificates end.",
	},
	"aws/rekeyed": {
		`collision aws_iam_role_policy_attachment.dns["cm"]: Renewal may stop: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is destroyed at aws_iam_role_policy_attachment.dns["cm"] and made at aws_iam_role_policy_attachment.dns["cert-manager"], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
	},
	"aws/rekeyed-module": {
		"collision module.cm.aws_iam_role.this: Renewal may stop: the role cert-manager is destroyed at module.cm.aws_iam_role.this and made at module.certs.aws_iam_role.this, in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.",
		"collision module.cm.aws_iam_role_policy_attachment.this: Renewal may stop: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is destroyed at module.cm.aws_iam_role_policy_attachment.this and made at module.certs.aws_iam_role_policy_attachment.this, in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.",
	},
	"aws/replaced": {
		"gap aws_iam_role_policy_attachment.cert_manager: Renewal pauses, and stops if the second step fails: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is destroyed first and made again afterwards.",
	},
	"aws/create-before-destroy": {
		"collision aws_iam_role_policy_attachment.cert_manager: Renewal may stop: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is made a second time, and then the first is destroyed: both are one object, and it is gone. Nothing shows it until certificates end.",
	},
	"aws/role-replaced-attachment-stays": {
		"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager is made anew, and what aws_iam_role_policy_attachment.cert_manager attaches is gone with the old one, and the plan does not attach it again. Nothing shows it until certificates end.",
	},
	"aws/role-renamed": {
		"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager is destroyed, so nothing can act as it, and what was granted to it is gone. Nothing shows it until certificates end.",
	},
	"aws/role-unknown": {
		"unknown aws_iam_role_policy_attachment.cert_manager: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is destroyed first and made again, and whether as before nobody can tell: its principal is known only after the apply.",
	},
	"aws/document-unknown": {
		"unknown aws_iam_policy.cert_manager_dns: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com changes, and nobody can tell whether renewal goes on: its permission, scope and condition are known only after the apply.",
	},
	"aws/document-other-zone": {
		"lost aws_iam_policy.cert_manager_dns: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/document-narrowed-zone": {
		"narrowed aws_iam_policy.cert_manager_dns: Renewal is cut back: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on every hosted zone and has only route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone Z0000000000000000002 left. Nothing shows it until certificates end.",
	},
	"aws/document-loses-delete": {
		"narrowed aws_iam_policy.cert_manager_dns: Renewal is cut back: on the hosted zone example.com the role cert-manager may still write and read challenge records, and no longer withdraw them (aws_iam_policy.cert_manager_dns changes). Nothing shows it until certificates end.",
	},
	"aws/document-loses-getchange": {
		"narrowed aws_iam_policy.cert_manager_dns: Renewal is cut back: on the hosted zone example.com the role cert-manager may still write challenge records, and no longer see whether its change is done (route53:GetChange), for which it waits, because aws_iam_policy.cert_manager_dns changes. Nothing shows it until certificates end.",
	},
	"aws/condition-types-without-txt": {
		"lost aws_iam_policy.cert_manager_dns: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/condition-names": {
		"narrowed aws_iam_policy.cert_manager_dns: Renewal is cut back: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com and has only route53:ChangeResourceRecordSets (policy cert-manager-dns) on the records _acme-challenge.www.example.com of the hosted zone example.com left. Nothing shows it until certificates end.",
	},
	"aws/condition-address": {
		"narrowed aws_iam_policy.cert_manager_dns: Renewal is cut back: the role cert-manager keeps route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com only under a condition: aws:sourceip ipaddress 192.0.2.0/24. Nothing shows it until certificates end.",
	},
	"aws/denied": {
		"blocked aws_iam_policy.cert_manager_dns: Renewal is blocked: a denial of route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com forbids more than before, and the role cert-manager may no longer write and withdraw challenge records there, whatever else allows it. Nothing shows it until certificates end.",
	},
	"aws/denied-under-a-condition": {
		"unknown aws_iam_role_policy.region: A denial of route53:ChangeResourceRecordSets (inline policy region) on every hosted zone is added, and the role cert-manager may no longer write and withdraw challenge records there, whatever else allows it. Nobody can tell from this plan whether renewal goes on: it denies only under a condition: aws:requestedregion stringnotequals eu-west-1.",
	},
	"aws/managed-route53": {
		"lost aws_iam_role_policy_attachment.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy AmazonRoute53FullAccess) on every hosted zone, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/managed-administrator": {
		"unknown aws_iam_role_policy_attachment.deploy: The role deploy loses route53:ChangeResourceRecordSets (policy AdministratorAccess) on every hosted zone, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: it is a right to everything, and nothing in the plan shows that certificates are renewed by it.",
	},
	"aws/policy-elsewhere": {
		"unknown aws_iam_role_policy_attachment.cert_manager: The role cert-manager loses route53:ChangeResourceRecordSets (policy shared-dns) on every hosted zone, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the plan does not hold the policy shared-dns.",
	},
	"aws/boundary-added": {
		"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/boundary-added-elsewhere": {
		"narrowed aws_iam_role.cert_manager: Renewal is cut back: the role cert-manager keeps route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com only under a condition: permissions boundary within arn:aws:iam::123456789012:policy/company-limits. Nothing shows it until certificates end.",
	},
	"aws/trust-other-service-account": {
		"lost aws_iam_role.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so system:serviceaccount:cert-manager:cert-manager of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9 can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/trust-narrowed-to-another": {
		"unknown aws_iam_role.cert_manager: The trust by which a workload acts as the role cert-manager changes. Nobody can tell from this plan whether renewal rests on it: system:serviceaccount:web:web still may, and nothing shows who else does.",
	},
	"aws/trust-under-a-condition": {
		"unknown aws_iam_role.cert_manager: The trust by which a workload acts as the role cert-manager changes. Nobody can tell from this plan whether renewal rests on it: pods.eks.amazonaws.com still may, under a condition: aws:sourceaccount stringequals 123456789012.",
	},
	"aws/trust-unknown": {
		"unknown aws_iam_role.cert_manager: The trust by which a workload acts as the role cert-manager changes, and nobody can tell whether renewal goes on: its scope and condition are known only after the apply.",
	},
	"aws/provider-audience-dropped": {
		"lost aws_iam_openid_connect_provider.eks: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so AWS refuses the tokens of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9, by which system:serviceaccount:cert-manager:cert-manager acts as it. Nothing shows it until certificates end.",
	},
	"aws/provider-removed": {
		"lost aws_iam_openid_connect_provider.eks: Renewal stops: the trust by which a workload acts as the role cert-manager is destroyed, so AWS refuses the tokens of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9, by which system:serviceaccount:cert-manager:cert-manager acts as it. Nothing shows it until certificates end.",
	},
	"aws/cluster-replaced": {
		"lost aws_eks_cluster.prod: Renewal stops: the trust by which a workload acts as the role cert-manager is made anew, and the cluster prod then has another OIDC issuer, which neither the OIDC provider nor the trust policy names. Nothing shows it until certificates end.",
	},
	"aws/pod-identity-removed": {
		"lost aws_eks_pod_identity_association.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager is destroyed, so pods of the service account cert-manager/cert-manager in the cluster prod can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/pod-identity-other-namespace": {
		"lost aws_eks_pod_identity_association.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager is destroyed, so pods of the service account cert-manager/cert-manager in the cluster prod can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/authoritative-attachment": {
		"lost aws_iam_role_policy_attachment.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, because aws_iam_policy_attachment.dns names everybody who has it, and not this one. Nothing shows it until certificates end.",
	},
	"aws/authoritative-elsewhere": {
		"unknown aws_iam_policy_attachment.dns: aws_iam_policy_attachment.dns names everybody who has route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone Z0000000000000000001: whoever else has it today loses it, and this plan does not show who that is.",
	},
	"aws/exclusive-attachments": {
		"lost aws_iam_role_policy_attachments_exclusive.cm: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, because aws_iam_role_policy_attachments_exclusive.cm changes. Nothing shows it until certificates end.",
	},
	"aws/managed-policy-arns": {
		"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/computed-arns-are-no-grant": {
		"lost aws_iam_role_policy_attachment.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/forgotten": {
		"orphaned aws_iam_role_policy_attachment.cert_manager: Renewal goes on, but no plan will show when that ends: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com leaves the state and lives on.",
	},
	"aws/user-key-removed": {
		"lost aws_iam_access_key.lego: Renewal stops: the credential of the user lego is destroyed, so whoever renews with the access key AKIAIOSFODNN7EXAMPL1 can no longer sign in. Nothing shows it until certificates end.",
	},
	"aws/user-key-off": {
		"lost aws_iam_access_key.lego: Renewal stops: the credential of the user lego changes, so whoever renews with the access key AKIAIOSFODNN7EXAMPL1 can no longer sign in. Nothing shows it until certificates end.",
	},
	"aws/user-key-rotated": {
		"lost aws_iam_access_key.lego: Renewal stops: the credential of the user lego is made anew, and the new access key has another id and another secret, which the renewer has to be given. Nothing shows it until certificates end.",
	},
	"aws/user-key-second": {
		"unknown aws_iam_access_key.a: The credential of the user lego is destroyed. Nobody can tell from this plan whether renewal rests on it: the user keeps another access key, AKIAIOSFODNN7EXAMPL2.",
	},
	"aws/group-left": {
		"lost aws_iam_user_group_membership.lego: Renewal stops: the user lego loses route53:ChangeResourceRecordSets (inline policy dns) on the hosted zone Z0000000000000000001, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/zone-replaced": {
		"lost aws_route53_zone.main: Renewal stops: the hosted zone example.com is made anew, and the new one has another id and other name servers than those that the parent zone and the policies name. Nothing shows it until certificates end.",
	},
	"aws/zone-removed-alone": {
		"unknown aws_route53_zone.old: The hosted zone old.example.net is destroyed. Nobody can tell from this plan whether renewal rests on it: the plan does not tell whether names in old.example.net have certificates.",
	},
	"aws/caa-added": {
		"unknown aws_route53_record.caa: A CAA record on example.com is added, and it lets only digicert.com issue for example.com. Nobody can tell from this plan whether renewal goes on: by which authority names in example.com are issued is not in the plan.",
	},
	"aws/caa-added-known": {
		"blocked aws_route53_record.caa: shop stops renewing: a CAA record on example.com is added, and it lets only digicert.com issue for example.com. shop is due for renewal on 28 Sep 2026 14:55 UTC, in 6 days, and ends on 28 Oct 2026 14:55 UTC, in 36 days; until then everything looks fine.",
	},
	"aws/caa-limited-to-an-account": {
		"unknown aws_route53_record.caa: A CAA record on example.com forbids more than before, and it lets letsencrypt.org issue only to some accounts for example.com. Nobody can tell from this plan whether renewal goes on: the plan does not tell whether the account that renews is one of: letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1.",
	},
	"aws/caa-not-by-dns": {
		"blocked aws_route53_record.caa: Renewal is blocked: a CAA record on example.com forbids more than before, and it lets letsencrypt.org issue only by other ways of validation than DNS for example.com. Nothing shows it until certificates end.",
	},
	"aws/caa-no-wildcards": {
		"blocked aws_route53_record.caa: Renewal is blocked: a CAA record on example.com forbids more than before, and it forbids every authority to issue for wildcards in example.com. Nothing shows it until certificates end.",
	},
	"aws/challenge-cname-removed": {
		"lost aws_route53_record.challenge: Renewal stops: the CNAME record _acme-challenge.shop.example.com is destroyed, so the authority no longer finds the challenges of shop.example.com, which are answered where this alias leads. Nothing shows it until certificates end.",
	},
	"aws/challenge-txt-added": {
		"blocked aws_route53_record.challenge: Renewal is blocked: a static TXT record on _acme-challenge.shop.example.com is added, and it stands where the renewer has to write _acme-challenge.shop.example.com: one of the two overwrites the other, or is refused. Nothing shows it until certificates end.",
	},
	"aws/validation-removed": {
		"lost aws_route53_record.validation: Renewal stops: the record _3639ac514e785e898d2646601fa951d5.www.example.com, by which AWS Certificate Manager renews, is destroyed, so the certificate of AWS Certificate Manager for www.example.com no longer renews itself. Nothing shows it until certificates end.",
	},
	"aws/delegation-removed": {
		"unknown aws_route53_record.ns: The NS record eu.example.com is destroyed. Nobody can tell from this plan whether renewal rests on it: the plan does not tell whether names in eu.example.com have certificates.",
	},
	"aws/delegation-of-a-zone-in-use-removed": {
		"lost aws_route53_record.ns: Renewal stops: the NS record example.com is destroyed, so the authority no longer finds the challenges of names in example.com. Nothing shows it until certificates end.",
	},
	"aws/signing-key-removed": {
		"unknown aws_route53_key_signing_key.main: The DNSSEC key signing key ksk1 of example.com is destroyed. Nobody can tell from this plan whether renewal rests on it: the plan does not tell whether the parent of example.com has a DS record.",
	},
	"aws/service-control-policy": {
		"blocked aws_organizations_policy_attachment.root: Renewal is blocked: the service control policy freeze on every hosted zone is added, and nobody in r-a1b2 may write and withdraw challenge records there, whatever else allows it. Nothing shows it until certificates end.",
	},
	"aws/external-dns": {
		"unknown aws_iam_role_policy.dns: The role external-dns loses route53:ChangeResourceRecordSets (inline policy dns) on the hosted zone Z0000000000000000001, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: it is called like something that writes DNS records for other ends.",
	},
	"aws/instance-profile-removed": {
		"lost aws_iam_instance_profile.web: Renewal stops: the trust by which a workload acts as the role web is destroyed, so machines with the instance profile web can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/policy-held-elsewhere": {
		"unknown aws_iam_policy.dns: Whoever holds the policy dns-writers loses route53:ChangeResourceRecordSets on every hosted zone and has only route53:ChangeResourceRecordSets on the hosted zone Z0000000000000000002 left. Nobody can tell from this plan whether renewal rests on it: the plan does not show who holds it.",
	},
	"aws/policy-held-elsewhere-known": {
		"unknown aws_iam_policy.dns: Whoever holds the policy dns-writers loses route53:ChangeResourceRecordSets on every hosted zone and has only route53:ChangeResourceRecordSets on the hosted zone Z0000000000000000002 left. Nobody can tell from this plan whether renewal rests on it: the plan does not show who holds it.",
	},
	"aws/policy-of-the-renewer-held-elsewhere": {
		"lost aws_iam_policy.cert_manager_dns: Renewal stops: whoever holds the policy cert-manager-dns loses route53:ChangeResourceRecordSets on the hosted zone Z0000000000000000001, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/count-shifts": {
		"collision aws_iam_role_policy_attachment.all[1]: Renewal may stop: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is destroyed at aws_iam_role_policy_attachment.all[1] and made at aws_iam_role_policy_attachment.all[0], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.",
	},
	"aws/role-own-inline": {
		"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (inline policy dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/boundary-narrowed-in-place": {
		"lost aws_iam_policy.limits: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/lists-zones-through-another-policy": {
		"narrowed aws_iam_role_policy.list: Renewal is cut back: on the hosted zone example.com the role cert-manager may still write and withdraw challenge records, and no longer read them (route53:ChangeResourceRecordSets (inline policy change) before, route53:ChangeResourceRecordSets (inline policy change) without route53:ListHostedZonesByName after). Nothing shows it until certificates end.",
	},
	"aws/role-forgotten": {
		"orphaned aws_iam_role.cert_manager: Renewal goes on, but no plan will show when that ends: the role cert-manager leaves the state and lives on.",
	},
	"aws/same-name-in-another-account": {
		"lost module.prod.aws_iam_role_policy_attachment.cm: Renewal stops: the role cert-manager of the account 123456789012 loses route53:ChangeResourceRecordSets (policy AmazonRoute53FullAccess) on every hosted zone, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/goes-on-as-another-role": {
		"lost aws_iam_role_policy.assume: Renewal stops: the trust by which a workload acts as the role zones is destroyed, so the role cert-manager can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/goes-on-as-a-role-elsewhere": {
		"lost aws_iam_role_policy.assume: Renewal stops: the trust by which a workload acts as the role zones changes, so the role cert-manager can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/trust-of-who-goes-on": {
		"lost aws_iam_role.certs: Renewal stops: the trust by which a workload acts as the role certs changes, so system:serviceaccount:certs:certs of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9 can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/condition-names-lost-known": {
		"narrowed aws_iam_policy.cert_manager_dns: shop may stop renewing: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com and has only route53:ChangeResourceRecordSets (policy cert-manager-dns) on the records _acme-challenge.www.example.com of the hosted zone example.com left. shop is due for renewal on 28 Sep 2026 14:55 UTC, in 6 days, and ends on 28 Oct 2026 14:55 UTC, in 36 days; until then everything looks fine.",
	},
	"aws/idle-role-removed-known": {
		"lost aws_iam_role.web: shop stops renewing: the role web is destroyed, so nothing can act as it, and what was granted to it is gone. shop is due for renewal on 28 Sep 2026 14:55 UTC, in 6 days, and ends on 28 Oct 2026 14:55 UTC, in 36 days; until then everything looks fine.",
	},
	"aws/idle-role-detached-known": {
		"unknown aws_iam_role_policy_attachment.web: The role web loses route53:ChangeResourceRecordSets (policy shared). Nobody can tell from this plan whether renewal rests on it: the plan does not hold the policy shared.",
	},
	"aws/exclusive-elsewhere": {
		"unknown aws_iam_role_policies_exclusive.cm: The list of all policies of the role cert-manager is added, and every policy that it does not name is taken away. Nobody can tell from this plan whether renewal goes on: the plan does not show which policies the role cert-manager has today.",
	},
	"aws/addon-removed": {
		"lost aws_eks_addon.cm: Renewal stops: cert-manager (the add-on of the cluster prod) is destroyed, so no certificate of the cluster is renewed. Nothing shows it until certificates end.",
	},
	"aws/addon-other-role": {
		"lost aws_eks_addon.cm: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so cert-manager in the cluster prod can no longer act as it. Nothing shows it until certificates end.",
	},
	"aws/one-zone-of-two-known": {
		"lost aws_iam_policy.cert_manager_dns: mail stops renewing: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone Z0000000000000000002, and nothing else in this plan allows it. mail is due for renewal on 1 Oct 2026 14:55 UTC, in 9 days; until then everything looks fine.",
	},
	"aws/drifted-and-given-back": {
		"safe aws_iam_role_policy_attachment.cert_manager: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com was deleted outside the code, and until this plan is applied nothing that rests on it renews. The plan gives it back: apply it, and prove renewal afterwards.",
	},
	"aws/drifted-and-not-given-back": {
		"lost aws_iam_role_policy_attachment.cert_manager: Renewal stops: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com was deleted outside the code, and this plan does not bring it back. Nothing shows it until certificates end.",
	},
	"aws/list-emptied-for-attachment": {
		"gap aws_iam_role.cert_manager: Renewal pauses, and stops if the second step fails: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com goes, and aws_iam_role_policy_attachment.cert_manager, which replaces it, is made in no order with that.",
	},
	"aws/authoritative-drops-one": {
		"lost aws_iam_policy_attachment.dns: Renewal stops: the role cert-manager loses route53:ChangeResourceRecordSets (policy cert-manager-dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"aws/two-resources-for-one-attachment": {
		"lost aws_iam_policy_attachment.dns: Renewal stops: route53:ChangeResourceRecordSets (policy cert-manager-dns) of the role cert-manager on the hosted zone example.com is destroyed at aws_iam_policy_attachment.dns; aws_iam_role_policy_attachment.cert_manager is the same object, and goes with it. Nothing shows it until certificates end.",
	},
	"aws/domain-delegated-elsewhere": {
		"unknown aws_route53domains_registered_domain.main: The NS record example.com changes. Nobody can tell from this plan whether renewal rests on it: the plan does not tell whether names in example.com have certificates.",
	},
}

package assure

// Reason is a stable code of why a claim is not upheld. Each has a page docs/reasons/CODE.md. A code is never given
// another meaning.
type Reason string

// Serving.
const (
	Expired           Reason = "expired"
	NotYetValid       Reason = "not_yet_valid"
	Expiring          Reason = "expiring"
	NameMismatch      Reason = "name_mismatch"
	SelfSigned        Reason = "self_signed"
	UntrustedIssuer   Reason = "untrusted_issuer"
	ChainIncomplete   Reason = "chain_incomplete"
	ChainExpired      Reason = "chain_expired"
	ChainExpiring     Reason = "chain_expiring"
	Revoked           Reason = "revoked"
	RevocationUnclear Reason = "revocation_unknown"
	WeakKey           Reason = "weak_key"
	WeakSignature     Reason = "weak_signature"
	WrongPurpose      Reason = "wrong_purpose"
	LifetimeTooLong   Reason = "lifetime_too_long"
	ServedStale       Reason = "served_stale"
	ServedDiffers     Reason = "served_differs"
	HandshakeFailed   Reason = "handshake_failed"
	Unreachable       Reason = "unreachable"
	NoAddress         Reason = "no_address"
	DNSFailed         Reason = "dns_failed"
)

// Permission.
const (
	DNSWriteDenied     Reason = "dns_write_denied"
	DNSWriteFailed     Reason = "dns_write_failed"
	CredentialExpiring Reason = "credential_expiring"
	CAAForbids         Reason = "caa_forbids"
	DelegationBroken   Reason = "delegation_broken"
	// PermissionUnclear: whether the identity may write could not be determined. Not knowing is a finding too.
	PermissionUnclear Reason = "permission_unknown"
	// GrantDrifted: the permission holds, and not by what renewal is known to rest on.
	GrantDrifted Reason = "grant_drifted"
)

// Renewal and issuance.
const (
	RenewalOverdue        Reason = "renewal_overdue"
	RenewalFailing        Reason = "renewal_failing"
	RenewalStuck          Reason = "renewal_stuck"
	RehearsalFailed       Reason = "rehearsal_failed"
	RehearsalInconclusive Reason = "rehearsal_inconclusive"
	AccountInvalid        Reason = "account_invalid"
	LimitReached          Reason = "rate_limited"
	InstallFailed         Reason = "install_failed"
	NoCertificate         Reason = "no_certificate"
	NamesMissing          Reason = "names_missing"
)

// People.
const (
	NobodyOnCall        Reason = "nobody_on_call"
	ScheduleGap         Reason = "schedule_gap"
	DrillUnacknowledged Reason = "drill_unacknowledged"
	ChannelFailing      Reason = "channel_failing"
)

// Monitor and inventory.
const (
	EvidenceMissing   Reason = "evidence_missing"
	EvidenceStale     Reason = "evidence_stale"
	BlindReason       Reason = "blind"
	PatrolLate        Reason = "patrol_late"
	HeartbeatUnseen   Reason = "heartbeat_unseen"
	ControlUndetected Reason = "control_undetected"
	Unclaimed         Reason = "unclaimed"
)

type reasonLink struct {
	Reason Reason
	Link   Link
}

// reasons gives each code its link, in the order of the documentation.
var reasons = []reasonLink{
	{Expired, Serving},
	{NotYetValid, Serving},
	{Expiring, Serving},
	{NameMismatch, Serving},
	{SelfSigned, Serving},
	{UntrustedIssuer, Serving},
	{ChainIncomplete, Serving},
	{ChainExpired, Serving},
	{ChainExpiring, Serving},
	{Revoked, Serving},
	{RevocationUnclear, Serving},
	{WeakKey, Serving},
	{WeakSignature, Serving},
	{WrongPurpose, Serving},
	{LifetimeTooLong, Serving},
	{ServedStale, Serving},
	{ServedDiffers, Serving},
	{HandshakeFailed, Serving},
	{Unreachable, Serving},
	{NoAddress, Serving},
	{DNSFailed, Serving},
	{DNSWriteDenied, Permission},
	{DNSWriteFailed, Permission},
	{CredentialExpiring, Permission},
	{CAAForbids, Permission},
	{DelegationBroken, Permission},
	{PermissionUnclear, Permission},
	{GrantDrifted, Permission},
	{RenewalOverdue, Renewal},
	{RenewalFailing, Renewal},
	{RenewalStuck, Renewal},
	{RehearsalFailed, Renewal},
	{RehearsalInconclusive, Renewal},
	{AccountInvalid, Renewal},
	{LimitReached, Renewal},
	{InstallFailed, Renewal},
	{NoCertificate, Issuance},
	{NamesMissing, Issuance},
	{NobodyOnCall, People},
	{ScheduleGap, People},
	{DrillUnacknowledged, People},
	{ChannelFailing, People},
	{EvidenceMissing, Monitor},
	{EvidenceStale, Monitor},
	{BlindReason, Monitor},
	{PatrolLate, Monitor},
	{HeartbeatUnseen, Monitor},
	{ControlUndetected, Monitor},
	{Unclaimed, Inventory},
}

// Reasons returns every code, in the order of the documentation.
func Reasons() []Reason {
	out := make([]Reason, len(reasons))
	for i, r := range reasons {
		out[i] = r.Reason
	}
	return out
}

// Link is the link that the code belongs to; empty for a code that is not known.
func (r Reason) Link() Link {
	for _, e := range reasons {
		if e.Reason == r {
			return e.Link
		}
	}
	return ""
}

// Docs is the address of the code's page.
func (r Reason) Docs() string {
	return "https://github.com/notafter/notafter/blob/main/docs/reasons/" + string(r) + ".md"
}

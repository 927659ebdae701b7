package assure

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// trust judges who vouches for the leaf and for what. It reports whether clients refuse it whatever the time.
func (v *view) trust(s *shown) (refused bool) {
	say := func(reason Reason, stage Stage, cause, summary, impact, action string) {
		refused = refused || stage == StageOutage
		v.at(s.addresses, Broken, func(a string) Finding {
			f := Finding{Reason: reason, Stage: stage, Cause: cause, Summary: summary, Impact: impact, Action: action}
			if stage == StageOutage {
				f.HurtsAt = v.since(reason, a)
			}
			return f
		})
	}
	name := clip(firstOf(s.leaf.Names, s.leaf.Subject), 80)
	if len(s.Paths) == 0 {
		issuer := clip(firstOf([]string{s.MissingIssuer}, s.leaf.Issuer), 120)
		switch {
		case s.SelfSigned:
			say(SelfSigned, StageOutage, "self-signed/"+v.Claim.Certificate+"/"+v.host(), fmt.Sprintf("The certificate for %s is self-signed.", name),
				"Every client that was not told to trust this very certificate refuses it.",
				"Install the certificate that the authority issued; a server often falls back to a self-signed one when its files are missing.")
		case len(s.Completed) > 0:
			say(ChainIncomplete, StageOutage, "incomplete/"+issuer, fmt.Sprintf("%s does not send the intermediate certificate %q.", v.host(), issuer),
				"Clients that do not fetch missing intermediates (Go, curl, Java, most programs) refuse it; browsers may hide the fault.",
				"Serve the full chain (fullchain.pem rather than cert.pem), then reload the server.")
		case s.PathError != "":
			say(UntrustedIssuer, StageOutage, "untrusted/"+issuer, fmt.Sprintf("No valid chain leads from the certificate for %s to a trusted root: %s.", name, clip(s.PathError, 160)),
				"Clients that trust the usual roots refuse it.", "Have the certificate issued by an authority that may issue it, and serve its chain.")
		case s.UntrustedRoot:
			say(UntrustedIssuer, StageOutage, "untrusted/"+issuer, fmt.Sprintf("The certificate for %s was issued by %q, which is not trusted.", name, issuer),
				"Clients that do not hold that root refuse it.",
				"If this authority is your own, give notafter its root (--roots, or trust in the configuration); else have the certificate issued by a trusted one.")
		default:
			say(UntrustedIssuer, StageOutage, "untrusted/"+issuer, fmt.Sprintf("The issuer %q of the certificate for %s is neither served nor trusted.", issuer, name),
				"Clients refuse it.",
				"Serve the full chain. If this authority is your own, give notafter its root (--roots, or trust in the configuration).")
		}
	}
	if !s.NameMatches {
		say(NameMismatch, StageOutage, "name/"+s.leaf.Fingerprint, fmt.Sprintf("The certificate is for %s and not for %s.", clip(strings.Join(firstN(s.leaf.Names, 4), ", "), 160), v.host()),
			"Every client that connects by this name refuses it.",
			"Serve the certificate that holds this name, or add the name to it; often the server falls back to its default certificate for a name it does not know.")
	}
	if missing := uncovered(v.Names, s.leaf.Names); s.NameMatches && s.standard && len(missing) > 0 {
		say(NamesMissing, StageTicket, "names/"+v.Claim.Certificate, fmt.Sprintf("The certificate served for %s does not hold %s, which were declared for it.", v.host(), clip(strings.Join(firstN(missing, 4), ", "), 160)),
			"Clients that use those names are refused wherever this certificate is what they get.",
			"Have the certificate issued with all of its names, or mend the declaration.")
	}
	if !s.ServerAuth {
		say(WrongPurpose, StageOutage, "purpose/"+s.leaf.Fingerprint, fmt.Sprintf("The certificate for %s may not be used by a TLS server (its extended key usage does not allow it).", name),
			"Clients that check the purpose refuse it; all browsers do.", "Have it issued with the server authentication purpose.")
	}
	if s.WeakSignature != "" {
		say(WeakSignature, StageOutage, "signature/"+s.leaf.Fingerprint, fmt.Sprintf("The chain for %s relies on a broken signature algorithm: %s.", name, clip(s.WeakSignature, 120)),
			"Browsers, Go, Java and current OpenSSL refuse it.", "Have the certificate issued anew with SHA-256 or better.")
	}
	if s.WeakKey != "" {
		say(WeakKey, StageTicket, "key/"+s.leaf.Fingerprint, fmt.Sprintf("The chain for %s holds a key that is too small: %s.", name, clip(s.WeakKey, 120)),
			"Clients at OpenSSL's security level 2, the default of current distributions, refuse it.",
			"Issue it anew with an ECDSA P-256 or an RSA key of 2048 bits or more.")
	}
	if limit := lifetimeLimit(s.leaf.NotBefore); s.PublicTrust && s.leaf.Lifetime() > limit {
		say(LifetimeTooLong, StageTicket, "lifetime/"+s.leaf.Fingerprint, fmt.Sprintf("The certificate for %s lives %s; the limit on the day of its issue was %s.", name, Between(s.leaf.NotBefore, s.leaf.NotAfter.Add(time.Second)), Ago(limit)),
			"Clients that enforce the limit refuse it.", "Have it issued anew with a lifetime within the Baseline Requirements.")
	}
	return refused
}

func (v *view) revocation(s *shown) {
	byCert := map[string][]Revocation{}
	var order []string
	for _, r := range s.Revocation {
		if _, ok := byCert[r.Cert]; !ok {
			order = append(order, r.Cert)
		}
		byCert[r.Cert] = append(byCert[r.Cert], r)
	}
	for _, fp := range order {
		answers := byCert[fp]
		cert, _ := s.of.CertOf(fp)
		name := clip(firstOf(cert.Names, cert.Subject), 100)
		if i := slices.IndexFunc(answers, func(r Revocation) bool { return r.Status == RevocationRevoked }); i >= 0 {
			r := answers[i]
			why := ""
			if r.Reason != "" {
				why = " (" + clip(r.Reason, 40) + ")"
			}
			f := Finding{
				Reason: Revoked, Stage: StageOutage, Cause: "revoked/" + fp,
				Summary: fmt.Sprintf("The certificate for %s is revoked%s, says the authority's %s.", name, why, viaText(r.Via)),
				Impact:  "Clients that check revocation refuse it, browsers above all.",
				Action:  "Renew it with a new key and install it everywhere; find out who revoked it and why.",
			}
			if !r.RevokedAt.IsZero() && !r.RevokedAt.After(v.Now) {
				f.Since, f.HurtsAt = r.RevokedAt, r.RevokedAt
			} else {
				f.HurtsAt = v.since(Revoked, "")
			}
			v.at(s.addresses, Broken, func(string) Finding { return f })
			continue
		}
		if slices.ContainsFunc(answers, func(r Revocation) bool { return r.Status == RevocationGood }) {
			continue
		}
		r := answers[0]
		v.at(s.addresses, Unknown, func(a string) Finding {
			return Finding{
				Reason: RevocationUnclear, Stage: v.stageOf(true, RevocationUnclear, a, StageTicket), Cause: "revocation/" + hostOf(r.URL),
				Summary: fmt.Sprintf("Whether the certificate for %s is revoked could not be found out: %s.", name, clip(firstOf([]string{r.Detail}, "no answer"), 160)),
				Impact:  "Most clients accept it meanwhile; those that insist on an answer refuse it.",
				Action:  "Check that this machine reaches " + firstOf([]string{clip(r.URL, 120)}, "the authority's revocation service") + ", or set revocation to off where it never can.",
			}
		})
	}
}

func viaText(via string) string {
	switch via {
	case "crl":
		return "revocation list"
	case "staple":
		return "stapled OCSP answer"
	default:
		return "OCSP responder"
	}
}

// uncovered lists the declared names that none of the certificate's names stands for. A wildcard stands for exactly one
// label (RFC 9525 section 6.3).
func uncovered(declared, held []string) (out []string) {
	has := map[string]bool{}
	for _, h := range held {
		has[strings.ToLower(strings.TrimSuffix(h, "."))] = true
	}
	for _, d := range declared {
		name := strings.ToLower(strings.TrimSuffix(d, "."))
		_, parent, _ := strings.Cut(name, ".")
		if !has[name] && !(parent != "" && has["*."+parent]) {
			out = append(out, clip(d, 80))
		}
	}
	return out
}

func hostOf(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.Host
	}
	return "staple"
}

func firstOf(list []string, otherwise string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return otherwise
}

func firstN[T any](list []T, n int) []T { return list[:min(n, len(list))] }

// upperFirst begins a sentence. A name or an address at its beginning stays as it is written.
func upperFirst(s string) string {
	if word, _, _ := strings.Cut(s, " "); strings.ContainsAny(word, ".:/@") {
		return s
	}
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

func sentence(s string) string {
	s = strings.TrimRight(clip(s, 200), ".\n ")
	if s == "" {
		return ""
	}
	return upperFirst(s) + "."
}

package iac

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// summary says what becomes of renewal: the consequence first, then the cause, then when it is noticed.
func (j *judge) summary(t *Tie, f fate, rest []*Certificate) string {
	var s string
	switch f.class {
	case Safe:
		return j.mended(t, rest)
	case Lost:
		s = names(rest, "stops renewing", "stop renewing", "Renewal stops") + ": " + lost(t, f) + "."
	case Narrowed:
		s = names(rest, "may stop renewing", "may stop renewing", "Renewal is cut back") + ": " + narrowed(t, f) + "."
	case Collision:
		s = names(rest, "may stop renewing", "may stop renewing", "Renewal may stop") + ": " + collision(t, f) + "."
	case Gap:
		s = names(rest, "cannot renew for a while, and not at all", "cannot renew for a while, and not at all", "Renewal pauses, and stops") + " if the second step fails: " + gap(t, f) + "."
		if len(rest) == 0 && len(j.inv.Certificates) == 0 {
			return s
		}
	case Orphaned:
		what := thing(t) + " leaves the state and lives on"
		if c := t.cause(); c != t.From.Change {
			what = thing(t) + " rests on " + c.Address + ", which leaves the state and lives on"
		}
		return names(rest, "goes on renewing", "go on renewing", "Renewal goes on") + ", but no plan will show when that ends: " + what + "."
	case Blocked:
		none := "Renewal is blocked"
		if len(t.Members) > 0 {
			none = "Renewal by any other authority is blocked"
		}
		s = names(rest, "stops renewing", "stop renewing", none) + ": " + blocked(t) + "."
	case Unknown:
		return unknown(t, f, rest)
	}
	return s + j.when(t, rest)
}

// names are certificates as the subject of a sentence.
func names(rest []*Certificate, one, many, none string) string {
	names := namesOf(rest)
	switch len(names) {
	case 0:
		return none
	case 1:
		return names[0] + " " + one
	case 2, 3:
		return list(names) + " " + many
	}
	return fmt.Sprintf("%s and %d more certificates %s", strings.Join(names[:2], ", "), len(names)-2, many)
}

// when says how long nobody notices.
func (j *judge) when(t *Tie, rest []*Certificate) string {
	if may := j.perhaps(t); len(rest) == 0 && len(may) > 0 {
		return perhaps(t, may) + j.when(t, may)
	}
	next, end := first(rest, func(c *Certificate) time.Time { return c.Next }), first(rest, func(c *Certificate) time.Time { return c.NotAfter })
	fine := "; until then everything looks fine."
	if last := end; !j.inv.At.IsZero() && (last != nil && !last.NotAfter.After(j.inv.At) || last == nil && next != nil && !next.Next.After(j.inv.At)) {
		fine = "." // it has passed, and nothing looks fine
	}
	switch {
	case next != nil && next == end:
		return fmt.Sprintf(" %s is due for renewal on %s, and ends on %s", next.Name, j.moment(next.Next), j.moment(end.NotAfter)) + fine
	case next != nil && end != nil:
		return fmt.Sprintf(" %s is due for renewal on %s, and %s ends on %s", next.Name, j.moment(next.Next), end.Name, j.moment(end.NotAfter)) + fine
	case next != nil:
		return fmt.Sprintf(" %s is due for renewal on %s", next.Name, j.moment(next.Next)) + fine
	case end != nil:
		return fmt.Sprintf(" %s ends on %s", end.Name, j.moment(end.NotAfter)) + fine
	case len(rest) == 0 && len(j.inv.Certificates) > 0:
		return " No certificate of the inventory is known to rest on it."
	}
	return " Nothing shows it until certificates end."
}

// perhaps says that certificates may rest on a tie, and what the inventory would have to know.
func perhaps(t *Tie, may []*Certificate) string {
	there, who, where := t.Kind == KindGrant && len(t.Scope) > 0, true, true
	for _, c := range may {
		there = there && within(t.Scope, c) == yes
		who = who && len(c.Identities) == 0
		where = where && len(c.Zones) == 0 && len(c.Records) == 0
	}
	does, its := "renews", "its"
	if len(namesOf(may)) > 1 {
		does, its = "renew", "their"
	}
	whom := map[string]string{"renews": "it renews", "renew": "they renew"}[does]
	how := "may rest on it"
	switch {
	case t.Kind == KindBlock:
		how = "may be stopped by it"
	case there:
		how = does + " there and may rest on it"
	}
	how = " " + names(may, how, how, "")
	switch {
	case who && (bound(t.Kind) || t.Kind == KindIdentity):
		return how + ": as whom " + whom + " is not in the inventory."
	case where && t.Kind == KindGrant:
		return how + ": where " + its + " challenges are written is not in the inventory."
	}
	return how + ": the inventory does not say enough."
}

// moment is a time with how far off it is, if the inventory has a time of its own.
func (j *judge) moment(at time.Time) string {
	s := at.UTC().Format("2 Jan 2006 15:04 UTC")
	if j.inv.At.IsZero() {
		return s
	}
	d := at.Sub(j.inv.At)
	switch {
	case d <= 0:
		return s + ", which has passed"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%s, in %d days", s, d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%s, in %d hours", s, d/time.Hour)
	}
	return fmt.Sprintf("%s, in %d minutes", s, max(d/time.Minute, 1))
}

// name is how people know the principal of a tie.
func name(t *Tie) string {
	switch {
	case t.Who != "":
		return shortened(t.Who, longestName)
	case t.Principal == "":
		return "its holder"
	case bound(t.Kind) || t.Kind == KindIdentity:
		return "the identity " + shortened(t.Principal, longestName)
	}
	return shortened(t.Principal, longestName)
}

// longestName is how much of a name from a plan stands in a sentence, in letters.
const longestName = 200

// place is where a tie holds, for a sentence.
func place(t *Tie) string {
	switch {
	case t.Place != "":
		return shortened(t.Place, longestName)
	case t.scope() == "":
		return "everything"
	}
	return shortened(t.scope(), longestName)
}

// right is what a grant allows, in the provider's words if it has some.
func right(t *Tie) string {
	if t.Permission != "" {
		return shortened(t.Permission, longestName)
	}
	return "the right to " + t.Rights.String()
}

// String lists rights as verbs.
func (r Right) String() string {
	var out []string
	for _, x := range []struct {
		right Right
		verb  string
	}{{RightWrite, "write"}, {RightDelete, "withdraw"}, {RightRead, "read"}} {
		if r&x.right != 0 {
			out = append(out, x.verb)
		}
	}
	return list(out)
}

func list(s []string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + " and " + s[len(s)-1]
}

// thing is a tie as the subject of a sentence.
func thing(t *Tie) string {
	switch t.Kind {
	case KindGrant:
		return fmt.Sprintf("%s of %s on %s", right(t), name(t), place(t))
	case KindIdentity:
		return prefixed("the identity ", name(t))
	case KindTrust:
		return "the trust by which a workload acts as " + name(t)
	case KindCredential:
		return "the credential of " + name(t)
	case KindZone:
		return prefixed("the zone ", name(t))
	case KindRecord:
		return prefixed("the record ", name(t))
	case KindSecret:
		return prefixed("the secret ", name(t))
	}
	return name(t)
}

func prefixed(article, s string) string {
	if strings.HasPrefix(s, "the ") || strings.HasPrefix(s, "The ") {
		return s
	}
	return article + s
}

// lost says what is lost, by what, and what stops with it.
func lost(t *Tie, f fate) string {
	c := t.From.Change
	stale := t.Stale != "" && c.Makes()
	var s string
	switch {
	case f.drift && f.past:
		return thing(t) + " was deleted outside the code"
	case f.drift:
		return thing(t) + " was deleted outside the code, and this plan does not bring it back"
	case f.taker == t:
		return fmt.Sprintf("%s names everybody who has %s on %s, and not whoever renews them", c.Address, right(t), place(t))
	case f.taker != nil:
		return fmt.Sprintf("%s loses %s on %s, because %s names everybody who has it, and not this one", name(t), right(t), place(t), f.taker.From.Change.Address)
	case f.twin != nil:
		return fmt.Sprintf("%s is destroyed at %s; %s is the same object, and goes with it", thing(t), c.Address, f.twin.From.Change.Address)
	case stale:
		return thing(t) + " is made anew, and " + t.Stale
	case f.again != nil && t.Stale != "":
		return fmt.Sprintf("%s is destroyed and made anew at %s, and %s", thing(t), f.again.From.Change.Address, t.Stale)
	case t.vague():
		return name(t) + " loses " + right(t)
	case f.anew != nil:
		return fmt.Sprintf("%s is destroyed, and made again in the %s, where the secrets of its cluster issuers are not", thing(t), f.anew.At)
	case t.Kind == KindGrant:
		s = fmt.Sprintf("%s loses %s on %s", name(t), right(t), place(t))
	case c.Destroys():
		s = thing(t) + " is destroyed"
	default:
		s = thing(t) + " changes"
	}
	if t.Effect != "" {
		s += ", so " + t.Effect
	}
	switch {
	case f.maybe != nil:
		s += fmt.Sprintf(". %s may take its place (%s), but nothing says that it is for the same, or that it comes first", f.maybe.From.Change.Address, unknownParts(f.maybe))
	case t.cause() != c:
		s += ", because " + t.cause().Address + " changes"
	case t.Kind == KindGrant:
		s += ", and nothing else in this plan allows it"
	}
	return s
}

// narrowed says what is left and what is gone.
func narrowed(t *Tie, f fate) string {
	for _, u := range f.left {
		if strings.HasSuffix(u.Permission, " without route53:GetChange") && u.Rights|RightRead == t.Rights|RightRead && u.Scope.Covers(t.Scope) {
			return fmt.Sprintf("on %s %s may still write challenge records, and no longer see whether its change is done (route53:GetChange), for which it waits, because %s changes", place(t), name(t), t.cause().Address)
		}
	}
	whole := slices.ContainsFunc(f.left, func(u *Tie) bool { return u.Rights&t.Rights == t.Rights })
	for _, u := range f.left {
		if !whole && u.Rights&t.Rights != t.Rights && u.Scope.Covers(t.Scope) {
			return fmt.Sprintf("on %s %s may still %s challenge records, and no longer %s them (%s)", place(t), name(t), u.Rights&t.Rights, t.Rights&^u.Rights, was(t, u))
		}
	}
	for _, u := range f.left {
		if u.Condition != "" && u.Condition != t.Condition && u.Scope.Covers(t.Scope) {
			kind := "only under a condition"
			if t.Condition != "" {
				kind = "under another condition than before"
			}
			return fmt.Sprintf("%s keeps %s on %s %s: %s", name(t), right(u), place(t), kind, shortened(u.Condition, 300))
		}
	}
	var left []string
	for _, u := range f.left {
		if s := fmt.Sprintf("%s on %s", right(u), place(u)); len(left) < 3 && !slices.Contains(left, s) {
			left = append(left, s)
		}
	}
	return fmt.Sprintf("%s loses %s on %s and has only %s left", name(t), right(t), place(t), list(left))
}

func was(t, u *Tie) string {
	if alike(right(t), right(u)) {
		return t.cause().Address + " changes"
	}
	return right(t) + " before, " + right(u) + " after"
}

// collision says how two equal ones get into each other's way.
func collision(t *Tie, f fate) string {
	if f.by.From.Change == t.From.Change {
		return thing(t) + " is made a second time, and then the first is destroyed: both are one object, and it is gone"
	}
	s := fmt.Sprintf("%s is destroyed at %s and made at %s, in no order. ", thing(t), t.From.Change.Address, f.by.From.Change.Address)
	switch {
	case azure(t.From.Change) && t.Kind == KindGrant:
		return s + "As long as the first is there Azure refuses the second (409 RoleAssignmentExists), the first is destroyed all the same, and none is left"
	case azure(t.From.Change):
		return s + "As long as the first is there Azure refuses the second, the first is destroyed all the same, and none is left"
	}
	return s + "Both are the same to the cloud: if the deletion comes last, it takes away what was just made"
}

// gap says how there comes to be nothing for a while.
func gap(t *Tie, f fate) string {
	switch {
	case f.anew != nil:
		return carriedWords(t, f)
	case f.to != nil:
		return fmt.Sprintf("%s goes over to the service account %s, as which cert-manager runs then (%s), in no order with that", thing(t), f.to.will, f.to.to.Change.Address)
	}
	if f.by != nil && f.by.From.Change != t.From.Change {
		how := "made"
		if !f.by.From.Change.Makes() {
			how = "changed"
		}
		return fmt.Sprintf("%s goes, and %s, which replaces it, is %s in no order with that", thing(t), f.by.From.Change.Address, how)
	}
	if len(f.heirs) > 0 {
		also := ""
		if t.Kind == KindTrust { // a cluster
			also = ", and what ran in the old one runs again,"
		}
		return fmt.Sprintf("%s is made anew, and what names it follows by reference (%s); until all of that is done%s nothing renews by it", thing(t), addresses(f.heirs), also)
	}
	return thing(t) + " is destroyed first and made again afterwards"
}

func blocked(t *Tie) string {
	s := shortened(t.Permission, longestName)
	if s == "" {
		s = name(t)
	}
	if p := place(t); p != "everything" && !strings.Contains(s, p) {
		s += " on " + p
	}
	if t.From.Change.Makes() {
		s += " is added"
	} else {
		s += " forbids more than before"
	}
	if t.Effect != "" {
		s += ", and " + t.Effect
	}
	return s
}

func unknown(t *Tie, f fate, rest []*Certificate) string {
	on := names(rest, "goes on renewing", "go on renewing", "renewal goes on")
	switch {
	case f.taker == t:
		return fmt.Sprintf("%s names everybody who has %s on %s: whoever else has it today loses it, and this plan does not show who that is.", t.From.Change.Address, right(t), place(t))
	case t.Kind == KindBlock:
		return fmt.Sprintf("%s. Nobody can tell from this plan whether %s: %s.", capital(blocked(t)), on, f.why)
	case f.was != "":
		what := lost(&Tie{Kind: t.Kind, Principal: t.Principal, Who: t.Who, Rights: t.Rights, Permission: t.Permission, Scope: t.Scope, At: t.At, Place: t.Place, From: t.From, Stale: t.Stale}, fate{class: f.was, taker: f.taker, twin: f.twin, drift: f.drift, past: f.past})
		switch f.was {
		case Narrowed:
			what = narrowed(t, f)
		case Gap:
			what = gap(t, f)
		case Orphaned:
			what = thing(t) + " leaves the state and lives on"
		case Collision:
			what = collision(t, f)
		}
		return fmt.Sprintf("%s. Nobody can tell from this plan whether renewal rests on it: %s.", capital(what), f.why)
	case f.drift:
		return fmt.Sprintf("%s was deleted outside the code, and nobody can tell whether this plan brings it back: %s.", capital(thing(t)), f.why)
	case f.by != nil && f.by.From.Change != t.From.Change && t.From.Change.Destroys():
		return fmt.Sprintf("%s is destroyed, and nobody can tell whether %s: %s.", capital(thing(t)), on, f.why)
	case f.by != nil && f.by.From.Change.Do == DeleteCreate:
		return fmt.Sprintf("%s is destroyed first and made again, and whether as before nobody can tell: %s.", capital(thing(t)), f.why)
	}
	return fmt.Sprintf("%s changes, and nobody can tell whether %s: %s.", capital(thing(t)), on, f.why)
}

// unknownParts says what of a tie is known only after the apply.
func unknownParts(u *Tie) string {
	parts := make([]string, 0, len(u.Unknown))
	for _, p := range u.Unknown {
		parts = append(parts, string(p))
	}
	if u.From.Change.Do == NoOp && slices.Contains(u.Unknown, PartScope) {
		return fmt.Sprintf("%s keeps %s on %s, and the plan does not show what is in that", name(u), right(u), place(u))
	}
	if len(parts) == 0 {
		if u.From.Change.Do == UnknownAction {
			return "this version does not know what the plan does to it"
		}
		if u.Doubt != "" {
			return u.Doubt
		}
		return "the plan does not say"
	}
	verb := "is"
	if len(parts) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("its %s %s known only after the apply", list(parts), verb)
}

// mended is what is said of something that is gone already and that the plan gives back.
func (j *judge) mended(t *Tie, rest []*Certificate) string {
	return fmt.Sprintf("%s was deleted outside the code, and until this plan is applied %s. The plan gives it back: apply it, and prove renewal afterwards.",
		capital(thing(t)), names(rest, "cannot renew", "cannot renew", "nothing that rests on it renews"))
}

func incompleteSummary(p *Plan) string {
	why := list(p.Incomplete)
	switch {
	case p.Errored && why == "":
		why = "planning ended in an error"
	case p.Errored:
		why = "planning ended in an error, and " + why
	}
	return "This is not the whole plan: " + why + ". What it does not hold may take renewal away, and nobody can tell."
}

// capital begins a sentence with a capital letter, unless it begins with a word in code.
func capital(s string) string {
	word, _, _ := strings.Cut(s, " ")
	if s == "" || strings.ContainsAny(word, ":._/[") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// shortened is a text on one line, of at most n letters.
func shortened(s string, n int) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > n {
		return string(r[:n]) + "…"
	}
	return string(r)
}

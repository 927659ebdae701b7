package assure

import (
	"fmt"
	"slices"
	"time"
)

// patrolRule: the patrol ran on time, watches something, and can see.
func patrolRule(b *bench, fact Fact) bool {
	s, ok := fact.(Sight)
	if !ok {
		return false
	}
	b.j.Complete = true
	if s.Expected == 0 {
		b.add(Broken, Finding{
			Reason: EvidenceMissing, Stage: StagePage, Cause: "evidence/nothing",
			Summary: "The patrol watches nothing: no endpoint is declared.", Impact: "No expiry would be noticed.",
			Action: "Check that the configuration in force is the one you mean.",
		})
	}
	if s.Observed < s.Expected {
		// Each of them has a finding of its own once it is late. Until then this is the first round.
		b.add(Unknown, Finding{
			Reason: EvidenceMissing, Stage: StageNone, Cause: "evidence/round",
			Summary: fmt.Sprintf("%d of %d endpoints have not been looked at yet, or not lately.", s.Expected-s.Observed, s.Expected),
			Impact:  "Nothing is known of those.", Action: "Nothing, while the first round is under way.",
		})
	}
	if s.Tried > 1 && s.Reached == 0 {
		b.add(Broken, Finding{
			Reason: BlindReason, Stage: b.stageOf(true, BlindReason, "", StagePage), Cause: "blind",
			Summary: fmt.Sprintf("None of the %d hosts that were looked at could be reached: notafter itself is cut off.", s.Tried),
			Impact:  "Until it can see again, no expiry is noticed.",
			Action:  "Mend the network or the resolver of the machine that runs notafter.",
		})
	}
	if s.Backlog > 0 {
		b.add(Broken, Finding{
			Reason: ChannelFailing, Stage: b.stageOf(true, ChannelFailing, "", StageTicket), Cause: "backlog",
			Summary: fmt.Sprintf("%d notices wait beyond their time.", s.Backlog),
			Impact:  "Somebody who should know does not know yet.",
			Action:  "See which channel does not take what it is given, on the page of the watch, and mend it.",
		})
	}
	if late := time.Duration(s.Late); late > b.Claim.MaxAge() {
		b.add(Broken, Finding{
			Reason: PatrolLate, Stage: StagePage, Cause: "patrol",
			Summary: fmt.Sprintf("The patrol is %s behind: looks that were due have not been made.", Ago(late)),
			Impact:  "Evidence grows old; an expiry may be noticed late.",
			Action:  "Look for a slow database or too little processor time, and compare --concurrency with the number of endpoints.",
		})
	}
	return true
}

// controlRule: the built-in endpoint that is bad on purpose must be seen to be bad. Its fact goes through the same
// rule as any other endpoint's.
func controlRule(b *bench, fact Fact) bool {
	s, ok := fact.(Served)
	if !ok {
		return false
	}
	j := Judge(Case{
		Claim:    Claim{ID: b.Claim.ID, Link: Serving, Subject: "control", Declared: b.Claim.Declared, Every: b.Claim.Every},
		Evidence: &Evidence{Fact: s, FirstSeen: b.Evidence.FirstSeen, LastSeen: b.Evidence.LastSeen, Count: b.Evidence.Count},
	},
		Setting{Now: b.Now})
	b.j.Complete = true
	if slices.ContainsFunc(j.Findings, func(f Finding) bool { return f.Reason == Expired && f.Severity == Page }) {
		return true
	}
	b.add(Broken, Finding{
		Reason: ControlUndetected, Stage: StagePage, Cause: "control",
		Summary: "The control endpoint, which serves an expired certificate on purpose, was not found to be expired.",
		Impact:  "What notafter says of every other endpoint can't be trusted: a real expiry could look just as well.",
		Action:  "Check the clock of this machine, restart notafter, and report it if it stays: the watch is broken.",
	})
	return true
}

// heartbeatRule: an outside party heard that the patrol is alive.
func heartbeatRule(b *bench, fact Fact) bool {
	h, ok := fact.(Heard)
	if !ok {
		return false
	}
	b.j.Complete = true
	if h.OK && h.Held == "" {
		return true
	}
	f := Finding{
		Reason: HeartbeatUnseen, Cause: "heartbeat",
		Impact: "If notafter dies now, the outside party does not know the difference; it may raise its own alarm.",
	}
	if h.Held != "" {
		f.Stage = b.stageOf(true, HeartbeatUnseen, "", StageTicket)
		f.Summary = "The heartbeat is withheld: " + clip(h.Held, 200) + "."
		f.Action = "Mend what is named; the heartbeat resumes by itself after the next sound cycle."
	} else {
		f.Stage = StageNone
		if last := b.Evidence.LastSeen.Sub(b.since(HeartbeatUnseen, "")); last >= b.Claim.MaxAge() {
			f.Stage = StagePage
		} else if b.confirmed(HeartbeatUnseen, "") {
			f.Stage = StageTicket
		}
		f.Summary = "The outside party did not take the heartbeat: " + clip(h.Detail, 200) + "."
		f.Action = "Check the heartbeat's address and this machine's way out."
	}
	b.add(Broken, f)
	return true
}

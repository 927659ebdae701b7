package assure

import "fmt"

// channelRule: a channel through which people are told takes what it is given.
func channelRule(b *bench, fact Fact) bool {
	d, ok := fact.(Delivered)
	if !ok {
		return false
	}
	b.j.Complete = true
	if d.Class == Accepted {
		return true
	}
	f := Finding{
		Reason: ChannelFailing, Cause: "channel/" + b.Claim.Subject,
		Impact: "Whoever is told through it is not told. Other channels of the route still work.",
		Basis:  b.basis() + " " + sentence(d.Detail),
	}
	name := clip(b.Claim.Subject, 60)
	if d.Class.Retry() {
		f.Stage = b.stageOf(true, ChannelFailing, "", StageTicket)
		f.Summary = fmt.Sprintf("The channel %s does not take messages for the moment.", name)
		f.Action = "Nothing, if it passes: deliveries are tried again until they are taken. Else see what the service says."
	} else {
		f.Stage = StagePage
		f.Summary = fmt.Sprintf("The channel %s refuses what it is given.", name)
		f.Action = "Renew its credentials or address in the configuration and reload. What it refused with 401, 403 or 404 is tried again every ten minutes."
	}
	b.add(Broken, f)
	return true
}

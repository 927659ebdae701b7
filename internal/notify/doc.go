// Package notify tells people: pages, tickets, and the heartbeat by which an outside party knows that notafter lives.
//
// # Overview
//
// A notice is a row of a database before it is an HTTP call. The ledger turns each notice into one delivery for each
// of its channels, in the transaction that made the notice. A [Deliverer] is handed the number of one delivery, takes
// it from the [Outbox], renders a [Message] once, lets the channel's [Sender] try once, and records a receipt:
//
//	Outbox.Take -> NewMessage -> Sender.Send -> Outbox.Record -> Outcome
//
// A [Channel] is a request builder and a response classifier, nothing else. Transport, time limits, truncated bodies,
// redaction, receipts and retries exist once, in [NewHTTPSender] and [Deliverer]. A new channel is one file here and
// one line in the list of the room that wires things together. Mail does not speak HTTP and is a [Sender] of its own.
//
// # Who is authoritative
//
// The Outbox, always. Nothing here remembers between two calls what was sent: attempts, due times, leases and the
// names that channels gave to earlier notices all come from the row. Two processes may be asked to make the same
// delivery at the same moment; the lease lets one of them do it. The lease is longer than an attempt may last, so a
// process that died in the middle of an attempt is followed by another attempt and never accompanied by one.
//
// # What accepted means
//
// Accepted means that the service took the message. It does not mean that somebody was reached: PagerDuty answers 202
// before it has looked at its schedules, a mail server before it has found the mailbox. Whoever needs to know that a
// person was reached waits for an acknowledgement.
//
// Delivery is at least once. A service that took a message and then failed to say so is given the message again, and
// so is one whose answer was lost with our process. Every message therefore carries what its channel can recognise a
// repetition by: a deduplication key (PagerDuty), an identical label set (Alertmanager), a Message-ID (mail), a
// delivery number (webhook), and for those that cannot, the incident's short name in the text.
//
// A trigger that could not be delivered before its incident was resolved is sent all the same, and the resolution after
// it: what happened is told, and the outbox keeps the order, so that nothing stays open that is over.
//
// # Who retries, and when
//
// Only the Deliverer, through the Outbox. Temporary outcomes are tried again after 5, 10, 20, 30 and then every 60
// seconds for as long as the incident lives. A rate limit is honoured up to five minutes, because a page cannot wait
// longer. A channel that denies (credentials, address) keeps its deliveries pending and gets them again every ten
// minutes, so that a mended channel still tells; the refusal itself is reported at once through the Outcome callback,
// so that another channel can be paged about it. A message that is rejected as such is given up: the same bytes will
// not be taken later. What was not delivered 24 hours after its incident was resolved, or a drill one hour after it
// was called, is given up too. Every attempt leaves a receipt, including those that give up.
//
// # Texts are hostile
//
// Names and details come from certificates and servers that anybody can run. NewMessage strips control characters and
// directional overrides and makes every field one line; each channel escapes for its own markup; mail headers are
// encoded. Secrets (webhook addresses, keys, passwords) never appear in receipts, errors or logs: errors are built
// without addresses' paths, and whatever a service echoes back is searched for the channel's secrets first.
//
// # Known gaps
//
// A mail to several recipients is one delivery: it counts as accepted when one recipient was accepted, and the refused
// ones are named in the receipt and reported as an impairment of the channel. Slack-compatible webhooks, PagerDuty and
// the signed webhook offer no way to check credentials without making noise; [Deliverer.Check] says so for them.
// Alertmanager keeps alerts in memory and forgets them when they are not sent again: see [Deliverer.Refresh].
package notify

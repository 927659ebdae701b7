// Package web shows what notafter knows: the dashboard, the JSON API, metrics and health.
//
// It reads committed state through [Reader] and writes through [Changer] and [Accounts] only; it judges nothing and
// keeps nothing of its own but counters, rate limits and open event streams. Any number of processes may serve the same
// state.
//
// # Who may see it
//
// With a way to sign in configured (see [AuthOptions]), pages need a session and the API, the metrics and /probe need a
// session or a bearer token. Without one everything is open, which is why the program then listens on loopback only;
// requests whose Host header is not a loopback name or that of the base address are refused, so that a web site cannot
// reach it through a name of its own that it points at 127.0.0.1.
//
// # What a browser is told
//
// Pages work without JavaScript. The one script fetches the page's main part again when the event stream says that
// something changed. Scripts and styles come from this server only, nothing is inline, and no page may be framed or
// cached. A change needs a POST from the same origin and a token from the form.
//
// Times in pages and documents are in UTC.
package web

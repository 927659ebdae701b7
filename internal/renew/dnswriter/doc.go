// Package dnswriter writes and withdraws the TXT values that prove control of a name, one type per kind of provider, each
// with the methods of renew.DNS:
//
//	Present(ctx context.Context, name, value string) error
//	Withdraw(ctx context.Context, name, value string) error
//	Who() string
//
// The rules are the same for all. Other people's values at a name are never touched: a writer adds and takes away its own
// value and nothing else. Presenting what is there, and withdrawing what is not, is no error. Errors are
// [assure.Trouble], with the identity, the action and the place as the provider names them, and no secret in any text.
// Whether and when to try again is the caller's decision; a writer repeats only what collided with another writer, and
// what a new sign-in may mend. When an answer is lost, it looks at what became of the change, and says that it may have
// happened when it cannot see.
package dnswriter

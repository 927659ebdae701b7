// Package permit asks the clouds whether the identity that renews certificates may still write, and take away again, the
// TXT records that prove control of a name. It changes nothing anywhere.
//
// There is one file (or family of files) per cloud, and each has a type with
//
//	Ask(ctx context.Context, record string) []assure.Access
//
// which never fails: an answer is allowed, denied or unclear, and "could not ask" is an unclear answer with
// [assure.PermissionUnclear] and the cause, because not knowing is a finding too. An answer that is not allowed has an
// [assure.Trouble] that says what a person has to mend.
//
// What a cloud says is compared with nothing here and no threshold is applied: whether an answer is a finding is judged
// elsewhere. An answer is also no proof. The cloud may be wrong about itself for minutes after a change, and a permission
// says nothing about the servers; that is what rehearsals with a canary are for.
//
// Each question is asked with a token that was fetched for it. Clouds decide by what they knew when a token was issued,
// so that an old token keeps rights that are gone.
package permit

package dnswriter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/notafter/notafter/internal/assure"
)

// errAzureNonsense is an answer that no Azure gives.
var errAzureNonsense = errors.New("the answer is not a record set of Azure DNS")

// azureResponse finds Azure's answer in an error; nil when there was none.
func azureResponse(err error) *azcore.ResponseError {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// azureRefusesToken reports whether a new token may help.
func azureRefusesToken(err error) bool {
	r := azureResponse(err)
	return r != nil && (r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden && r.ErrorCode == "AuthorizationFailed")
}

// azureConflicts reports whether the record set was not what we had read, or is being changed right now.
func azureConflicts(err error) bool {
	r := azureResponse(err)
	return r != nil && (r.StatusCode == http.StatusPreconditionFailed || r.StatusCode == http.StatusConflict && r.ErrorCode != "ScopeLocked")
}

// azureForbids reports whether a right is missing or a lock stands against it.
func azureForbids(err error) bool {
	r := azureResponse(err)
	return r != nil && (r.StatusCode == http.StatusForbidden || r.ErrorCode == "ScopeLocked")
}

// azureNoSuchSet tells a record set that is not there from a zone that is not, and from what is not Azure at all.
func azureNoSuchSet(err error) bool {
	r := azureResponse(err)
	return r != nil && r.StatusCode == http.StatusNotFound && r.ErrorCode != "" && !azureNoSuchZone(err) &&
		r.ErrorCode != "SubscriptionNotFound" && r.ErrorCode != "InvalidSubscriptionId"
}

// azureNoSuchZone reports whether the zone, or its resource group, is not there. A subscription that is not there is
// rather a wrong setting, with the zone and what was written there in another.
func azureNoSuchZone(err error) bool {
	r := azureResponse(err)
	return r != nil && r.StatusCode == http.StatusNotFound && (r.ErrorCode == "ParentResourceNotFound" || r.ErrorCode == "ResourceGroupNotFound")
}

// azureUnsure reports whether a change may have been made although there is no answer that says so.
func azureUnsure(err error) bool {
	var login *azidentity.AuthenticationFailedError
	if errors.As(err, &login) {
		return false // it never left
	}
	r := azureResponse(err)
	return r == nil || r.StatusCode >= 500 || r.StatusCode == http.StatusRequestTimeout
}

// trouble says what an error means for a person.
func (a *Azure) trouble(err error, action, rel string) *assure.Trouble {
	t := &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient,
		Identity: a.Who(), Action: action, Scope: a.scope(rel),
	}
	var login *azidentity.AuthenticationFailedError
	switch r := azureResponse(err); {
	case errors.As(err, &login):
		a.loginTrouble(t, login)
	case r != nil:
		answerTrouble(t, r)
	case errors.Is(err, errAzureNonsense) || strings.Contains(err.Error(), "unmarshalling"):
		t.Class = assure.TroubleBroken
		t.Detail = "the answer is not Azure's: " + azureText(err.Error())
		t.Remedy = "Look for a proxy between here and Azure that answers in its place"
	case strings.Contains(err.Error(), "failed to acquire a token") && !strings.Contains(err.Error(), "timed out"):
		t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
		t.Detail = "no credential was found to sign in to Azure with: " + azureText(err.Error())
		t.Remedy = "Give the writer a workload identity, a managed identity or a client secret"
	default:
		t.Detail = "no answer from Azure: " + azureText(err.Error())
	}
	if t.RetryAfter > 0 {
		t.Detail = "Azure wants to be left alone for " + assure.Ago(t.RetryAfter) + ": " + t.Detail
	}
	if s := a.opts.Credential.Secret; s != "" {
		t.Detail = strings.ReplaceAll(t.Detail, s, "[secret]")
	}
	return t
}

// azurePassing are errors of the token service that pass by themselves (learn.microsoft.com, "Microsoft Entra authentication
// and authorization error codes"): 90033 and 90014 service trouble, 50196 a loop that slowing down ends.
var azurePassing = regexp.MustCompile(`AADSTS(90033|90014|50196)\b`)

// loginTrouble says why there is no token.
func (a *Azure) loginTrouble(t *assure.Trouble, e *azidentity.AuthenticationFailedError) {
	t.Action, t.Scope = "sign in", a.opts.Credential.Tenant
	if e.RawResponse == nil {
		t.Detail = "no token from Azure: " + azureCause(e)
		if f := a.opts.Credential.tokenFile(); f != "" {
			if _, err := os.Stat(f); err != nil {
				t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
				t.Detail = "the federated token cannot be read: " + azureText(err.Error())
				t.Remedy = "Mount the service account's token for workload identity"
			}
		}
		return
	}
	said := azureSaid(e.RawResponse)
	switch status := e.RawResponse.StatusCode; {
	case status == http.StatusTooManyRequests:
		t.Class, t.RetryAfter = assure.TroubleThrottled, azureRetryAfter(e.RawResponse)
		t.Detail = "the token service has had too many requests"
		return
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusNotFound || status == http.StatusGone || azurePassing.MatchString(said.message):
		// The metadata service says 404 and 410 while it starts or is updated.
		t.Detail = fmt.Sprintf("no token from Azure (HTTP %d): %s", status, said.message)
		return
	}
	t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
	t.Detail = "the credential was refused: " + said.message
	switch {
	case strings.Contains(said.message, "AADSTS7000222"):
		t.Remedy = "The client secret has expired: make a new one for the application and put it into the writer's settings"
	case strings.Contains(said.message, "AADSTS7000215"):
		t.Remedy = "The client secret is wrong: put its value, not its id, into the writer's settings"
	case strings.Contains(said.message, "AADSTS70021"), strings.Contains(said.message, "AADSTS700213"):
		t.Remedy = "Make the federated credential's issuer, subject and audience those of the service account's token"
	case strings.Contains(said.message, "AADSTS700016"):
		t.Remedy = "The application is not in this tenant: check the client id and the tenant"
	case strings.Contains(said.message, "AADSTS90002"):
		t.Remedy = "There is no such tenant: set tenant to the id of the directory that knows the application"
	}
}

// answerTrouble says what an answer of Resource Manager means.
func answerTrouble(t *assure.Trouble, r *azcore.ResponseError) {
	said := azureSaid(r.RawResponse)
	t.Detail = said.message
	if t.Detail == "" {
		t.Detail = fmt.Sprintf("Azure answered with HTTP %d %s", r.StatusCode, azureText(r.ErrorCode))
	}
	switch s := r.StatusCode; {
	case s == http.StatusUnauthorized:
		t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
		t.Remedy = "Azure refuses a token that was just issued: check that the tenant is the subscription's"
	case r.ErrorCode == "ScopeLocked":
		t.Reason, t.Class = assure.DNSWriteDenied, assure.TroubleForbidden
		t.Remedy = "Remove the lock at " + lockedAt(said.message, t.Scope) + ", or move it where it does not cover the record set"
	case r.ErrorCode == "RequestDisallowedByPolicy":
		t.Reason, t.Class = assure.DNSWriteDenied, assure.TroubleForbidden
		t.Remedy = "Exempt the DNS zone from the Azure policy that the message names"
	case r.ErrorCode == "DenyAssignmentAuthorizationFailed":
		t.Reason, t.Class = assure.DNSWriteDenied, assure.TroubleForbidden
		azureRefusal(said.message).fill(t)
		t.Remedy = "Exclude the identity from the deny assignment that the message names"
	case s == http.StatusForbidden:
		t.Reason, t.Class = assure.DNSWriteDenied, assure.TroubleDenied
		azureRefusal(said.message).fill(t)
		t.Remedy = "Assign the role DNS Zone Contributor, or one with Microsoft.Network/dnsZones/TXT/read, /write and /delete, to " + t.Identity + " at the zone"
	case s == http.StatusNotFound && r.ErrorCode == "":
		t.Class = assure.TroubleBroken
		t.Remedy = "Look for a proxy between here and Azure that answers in its place, and check the endpoint"
	case s == http.StatusNotFound:
		t.Class = assure.TroubleMissing
		t.Remedy = "Check the subscription, the resource group and the zone in the writer's settings, and that the zone still exists"
	case s == http.StatusTooManyRequests:
		t.Class, t.RetryAfter = assure.TroubleThrottled, azureRetryAfter(r.RawResponse)
	case s == http.StatusPreconditionFailed || s == http.StatusConflict:
		t.Class = assure.TroubleConflict
	case s >= 500 || s == http.StatusRequestTimeout:
		t.RetryAfter = azureRetryAfter(r.RawResponse)
	case s >= 300 && s < 400:
		t.Class = assure.TroubleBroken
	default:
		t.Class = assure.TroubleInvalid
	}
}

// azureCause is why nobody answered a sign-in, without what the SDK says about itself before and after: the address stands
// in the configuration, and what went wrong with it would be cut off.
func azureCause(err error) string {
	s, _, _ := strings.Cut(azureText(err.Error()), " To troubleshoot, visit")
	if i := strings.LastIndex(s, `": `); i >= 0 {
		s = s[i+3:]
	}
	return strings.TrimRight(s, ". ")
}

// azureSaying is what an error's body says.
type azureSaying struct{ code, message string }

// azureSaid reads an error's body in the form of Resource Manager, of its older providers, or of OAuth.
func azureSaid(r *http.Response) azureSaying {
	if r == nil {
		return azureSaying{}
	}
	body, err := runtime.Payload(r)
	if err != nil {
		return azureSaying{}
	}
	return parseAzureSaying(body)
}

// aadstsTail begins what follows the message in an error description and means nothing to a person.
var aadstsTail = regexp.MustCompile(`\s*(Trace ID|Correlation ID|Timestamp):`)

func parseAzureSaying(body []byte) azureSaying {
	var e struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
		Code        string          `json:"code"`
		Message     string          `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil {
		return azureSaying{}
	}
	s := azureSaying{azureText(e.Code), e.Message}
	var inner struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var code string
	switch {
	case json.Unmarshal(e.Error, &code) == nil && code != "":
		s = azureSaying{azureText(code), e.Description}
		if at := aadstsTail.FindStringIndex(s.message); at != nil {
			s.message = s.message[:at[0]]
		}
	case json.Unmarshal(e.Error, &inner) == nil && inner.Code != "":
		s = azureSaying{azureText(inner.Code), inner.Message}
	}
	s.message = strings.TrimRight(azureText(s.message), ". ")
	return s
}

// azureRefused is what a 403 names.
type azureRefused struct{ identity, action, scope string }

// fill puts what the answer names in the place of what we supposed.
func (r azureRefused) fill(t *assure.Trouble) {
	if r.identity != "" {
		t.Identity = r.identity
	}
	if r.action != "" {
		t.Action = r.action
	}
	if r.scope != "" {
		t.Scope = r.scope
	}
}

// Forms of the message of AuthorizationFailed and of DenyAssignmentAuthorizationFailed.
var (
	refusedIdentity = regexp.MustCompile(`with object id '([^']*)'`)
	refusedAction   = regexp.MustCompile(`perform action '([^']*)'`)
	refusedScope    = regexp.MustCompile(`(?:over|on) scope '([^']*)'`)
	lockedScopes    = regexp.MustCompile(`scope\(s\) are locked: '(.+?)'\. `)
)

// azureRefusal reads who was refused what, and where.
func azureRefusal(message string) azureRefused {
	first := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(message); m != nil {
			return m[1]
		}
		return ""
	}
	return azureRefused{first(refusedIdentity), first(refusedAction), first(refusedScope)}
}

// lockedAt reads which scopes are locked.
func lockedAt(message, otherwise string) string {
	if m := lockedScopes.FindStringSubmatch(message + ". "); m != nil {
		return strings.ReplaceAll(m[1], "','", ", ")
	}
	return otherwise
}

// azureLongestWait bounds what we let Azure ask for.
const azureLongestWait = 24 * time.Hour

// azureRetryAfter reads how long Azure asks us to wait: milliseconds in headers of its own, or Retry-After in seconds or as a
// date (RFC 9110 section 10.2.3). Dates count from the answer's own.
func azureRetryAfter(r *http.Response) time.Duration {
	if r == nil {
		return 0
	}
	var d time.Duration
	for _, h := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if n, err := strconv.Atoi(r.Header.Get(h)); err == nil && n > 0 && d == 0 {
			d = time.Duration(min(n, int(azureLongestWait/time.Millisecond))) * time.Millisecond
		}
	}
	after := r.Header.Get("Retry-After")
	if n, err := strconv.Atoi(after); err == nil && d == 0 && n > 0 {
		d = time.Duration(min(n, int(azureLongestWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(after); err == nil && d == 0 {
		if from, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			d = at.Sub(from)
		}
	}
	return max(0, min(d, azureLongestWait))
}

// azureLongest bounds what is kept of a text from Azure, in bytes. Messages about refused rights have some 400.
const azureLongest = 1000

// azureText makes a text from outside harmless: one line, valid, no longer than needed.
func azureText(s string) string {
	if len(s) > 4*azureLongest {
		s = s[:4*azureLongest]
	}
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if len(s) > azureLongest {
		s = strings.ToValidUTF8(s[:azureLongest], "") + "…"
	}
	return s
}

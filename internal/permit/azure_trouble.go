package permit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
var errAzureNonsense = errors.New("the answer is not Azure's")

// azureResponse finds Azure's answer in an error; nil when there was none.
func azureResponse(err error) *azcore.ResponseError {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// azurePassing are errors of the token service that pass by themselves (learn.microsoft.com, "Microsoft Entra authentication
// and authorization error codes").
var azurePassing = regexp.MustCompile(`AADSTS(90033|90014|50196)\b`)

// azureTrouble says why something could not be asked; nil for no error. The reason is [assure.PermissionUnclear], or
// [assure.CredentialExpiring] when the credential itself was refused.
func azureTrouble(err error, scope string) *assure.Trouble {
	if err == nil {
		return nil
	}
	t := &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleTransient, Scope: scope}
	var login *azidentity.AuthenticationFailedError
	if errors.As(err, &login) {
		t.Action = "sign in"
		if login.RawResponse == nil {
			t.Detail = "no token from Azure: " + azureCause(login)
			return t
		}
		said := azureSaid(login.RawResponse)
		t.Detail = fmt.Sprintf("no token from Azure (HTTP %d): %s", login.RawResponse.StatusCode, said)
		switch s := login.RawResponse.StatusCode; {
		case s == http.StatusTooManyRequests:
			t.Class, t.RetryAfter = assure.TroubleThrottled, azureRetryAfter(login.RawResponse)
		case s >= 500 || s == http.StatusRequestTimeout || s == http.StatusNotFound || s == http.StatusGone || azurePassing.MatchString(said):
		default:
			t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
			t.Detail = "the credential was refused: " + said
			t.Remedy = loginRemedy(said)
		}
		return t
	}
	r := azureResponse(err)
	switch {
	case r == nil && (errors.Is(err, errAzureNonsense) || strings.Contains(err.Error(), "unmarshalling")):
		t.Class, t.Detail = assure.TroubleBroken, azureText(err.Error())
		return t
	case r == nil:
		t.Detail = "no answer from Azure: " + azureText(err.Error())
		return t
	}
	t.Detail = azureSaid(r.RawResponse)
	if t.Detail == "" {
		t.Detail = fmt.Sprintf("Azure answered with HTTP %d %s", r.StatusCode, azureText(r.ErrorCode))
	}
	switch s := r.StatusCode; {
	case s == http.StatusForbidden:
		t.Class = assure.TroubleDenied
		t.Identity, t.Action = azureBetween(t.Detail, "with object id '"), azureBetween(t.Detail, "perform action '")
		t.Remedy = "Grant the identity Reader at the zone, so that it can be asked what it may"
	case s == http.StatusUnauthorized:
		t.Class = assure.TroubleExpired
	case s == http.StatusNotFound && r.ErrorCode == "":
		t.Class = assure.TroubleBroken // no Azure says this
	case s == http.StatusNotFound:
		t.Class = assure.TroubleMissing
		t.Remedy = "Check the subscription, the resource group and the zone, and that the zone still exists"
	case s == http.StatusTooManyRequests:
		t.Class, t.RetryAfter = assure.TroubleThrottled, azureRetryAfter(r.RawResponse)
	case s >= 500 || s == http.StatusRequestTimeout:
		t.RetryAfter = azureRetryAfter(r.RawResponse)
	case s >= 300 && s < 400:
		t.Class = assure.TroubleBroken
	default:
		t.Class = assure.TroubleInvalid
	}
	return t
}

// loginRemedy is what to do about a refused credential, by the code in what was said (learn.microsoft.com, "Microsoft
// Entra authentication and authorization error codes"). The DNS writer says the same.
func loginRemedy(said string) string {
	switch {
	case strings.Contains(said, "AADSTS7000222"):
		return "The client secret has expired: make a new one for the application and put it into the writer's settings"
	case strings.Contains(said, "AADSTS7000215"):
		return "The client secret is wrong: put its value, not its id, into the writer's settings"
	case strings.Contains(said, "AADSTS70021"): // 700213 too
		return "Make the federated credential's issuer, subject and audience those of the service account's token"
	case strings.Contains(said, "AADSTS700016"):
		return "The application is not in this tenant: check the client id and the tenant"
	case strings.Contains(said, "AADSTS90002"):
		return "There is no such tenant: set tenant to the id of the directory that knows the application"
	}
	return "Give the identity that renews a credential that Azure accepts"
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

// azureSaid is the message in an error's body, without a final dot.
func azureSaid(r *http.Response) string {
	if r == nil {
		return ""
	}
	body, err := runtime.Payload(r)
	if err != nil {
		return ""
	}
	return parseAzureSaid(body)
}

func parseAzureSaid(body []byte) string {
	var e struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"` // of OAuth
		Message     string          `json:"message"`           // of older providers
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	var inner struct {
		Message string `json:"message"`
	}
	message := e.Message
	if json.Unmarshal(e.Error, &inner) == nil && inner.Message != "" {
		message = inner.Message
	} else if e.Description != "" {
		message, _, _ = strings.Cut(e.Description, "Trace ID:")
	}
	return strings.TrimRight(azureText(message), ". ")
}

// azureBetween is what stands after a mark, up to the next quotation mark.
func azureBetween(s, mark string) string {
	_, after, ok := strings.Cut(s, mark)
	if !ok {
		return ""
	}
	inside, _, ok := strings.Cut(after, "'")
	if !ok {
		return ""
	}
	return inside
}

// azureRetryAfter reads how long Azure asks us to wait, in seconds, which is the form that Resource Manager sends; at
// most a day.
func azureRetryAfter(r *http.Response) time.Duration {
	n, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 24*60*60)) * time.Second
}

// azureLongest bounds what is kept of a text from Azure, in bytes.
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

package permit

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/notafter/notafter/internal/assure"
)

// awsDecide reads what IAM says about one action at one resource.
func awsDecide(results []types.EvaluationResult) assure.Access {
	if len(results) != 1 {
		return untold(&assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleBroken, Detail: fmt.Sprintf("IAM gave %d answers to one question", len(results)),
		})
	}
	r := results[0]
	decision, matched, missing, boundary := r.EvalDecision, r.MatchedStatements, r.MissingContextValues, r.PermissionsBoundaryDecisionDetail
	if len(r.ResourceSpecificResults) > 0 {
		s := r.ResourceSpecificResults[0]
		decision, matched, missing = s.EvalResourceDecision, s.MatchedStatements, append(missing, s.MissingContextValues...)
		if s.PermissionsBoundaryDecisionDetail != nil {
			boundary = s.PermissionsBoundaryDecisionDetail
		}
	}
	var statements, blockers []string
	for i, m := range matched {
		if i == 20 {
			break
		}
		statements = append(statements, awsStatement(m))
	}
	if boundary != nil && !boundary.AllowedByPermissionsBoundary {
		blockers = append(blockers, "the identity's permissions boundary")
	}
	if o := r.OrganizationsDecisionDetail; o != nil && !o.AllowedByOrganizations {
		blockers = append(blockers, "the organization's policies")
	}
	out := assure.Access{Blockers: blockers}
	switch {
	case len(missing) > 0:
		// A condition that lacks its key may come out either way; the real request has it.
		keys := clean(strings.Join(missing, ", "), 300)
		out = untold(&assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid,
			Detail: "the policies depend on what only the real request tells: " + keys,
			Remedy: "Rely on the rehearsal with a canary for this identity, or take these conditions out of its policies",
		})
		out.Blockers = blockers
	case decision == types.PolicyEvaluationDecisionTypeAllowed && len(blockers) == 0:
		out.Answer, out.Grants = assure.Allowed, statements
		out.Detail = "IAM simulated the identity's policies and they allow it"
	case decision == types.PolicyEvaluationDecisionTypeExplicitDeny || len(blockers) > 0:
		if decision == types.PolicyEvaluationDecisionTypeExplicitDeny {
			out.Blockers = append(blockers, statements...)
		} else {
			out.Grants = statements
		}
		out.Answer = assure.Forbidden
		out.Detail = "a policy forbids it: " + strings.Join(out.Blockers, ", ")
		if len(out.Blockers) == 0 {
			out.Detail = "a policy forbids it, and IAM does not say which"
		}
		out.Trouble = &assure.Trouble{
			Reason: assure.DNSWriteDenied, Class: assure.TroubleForbidden, Detail: out.Detail,
			Remedy: "Take the denial away, or except this identity from it",
		}
	case decision == types.PolicyEvaluationDecisionTypeImplicitDeny:
		out.Answer, out.Detail = assure.Forbidden, "no policy of the identity allows it"
		out.Trouble = &assure.Trouble{
			Reason: assure.DNSWriteDenied, Class: assure.TroubleDenied, Detail: out.Detail,
			Remedy: "Allow the identity this action on the hosted zone",
		}
	default:
		out = untold(&assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleBroken, Detail: fmt.Sprintf("IAM decided %q, which is no decision that is known", clean(string(decision), 50)),
		})
	}
	return out
}

func awsStatement(s types.Statement) string {
	t := clean(aws.ToString(s.SourcePolicyId), 200)
	if s.SourcePolicyType != "" {
		t += " (" + clean(string(s.SourcePolicyType), 50) + ")"
	}
	if s.StartPosition != nil && s.EndPosition != nil {
		t += fmt.Sprintf(", lines %d to %d", s.StartPosition.Line, s.EndPosition.Line)
	}
	return t
}

// awsTrouble tells why IAM or STS could not be asked. A refused credential cannot write either.
func awsTrouble(err error, action string) *assure.Trouble {
	t := &assure.Trouble{
		Reason: assure.PermissionUnclear, Class: assure.TroubleTransient, Action: action, Detail: clean("AWS could not be asked: "+err.Error(), 400),
	}
	var res *awshttp.ResponseError
	if errors.As(err, &res) && res.Response != nil {
		t.RetryAfter = seconds(res.Response.Header.Get("Retry-After"))
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return t
	}
	t.Detail = clean("AWS answered "+api.ErrorCode()+": "+api.ErrorMessage(), 400)
	switch code := api.ErrorCode(); code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
		t.Class = assure.TroubleDenied
		t.Remedy = "Allow the identity " + action + ", or the permission cannot be watched"
		if action == "sts:GetCallerIdentity" { // needs no permission: the role could not be assumed
			t.Remedy = "Allow the identity to assume the role"
			t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
		}
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
		"InvalidIdentityToken", "IDPRejectedClaim", "MissingAuthenticationToken", "RequestExpired":
		t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
		t.Remedy = "Make a new key, or mend what gives the token"
	case "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded":
		t.Class = assure.TroubleThrottled
	case "NoSuchEntity", "NoSuchEntityException":
		t.Class = assure.TroubleMissing
	case "InvalidInput", "ValidationError", "InvalidInputException":
		t.Class = assure.TroubleInvalid
	}
	return t
}

// untold is an answer that is none.
func untold(t *assure.Trouble) assure.Access {
	return assure.Access{Answer: assure.Untold, Detail: t.Detail, Trouble: t}
}

// seconds reads a Retry-After in seconds (RFC 9110 section 10.2.3), bounded by a day, or an HTTP date.
func seconds(v string) time.Duration {
	v = strings.TrimSpace(v)
	var n int64
	if _, err := fmt.Sscanf(v, "%d", &n); err == nil {
		return time.Duration(min(max(0, n), 86400)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(0, time.Until(at)), 24*time.Hour)
	}
	return 0
}

// clean makes a text from outside one clipped line without control characters.
func clean(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, " "), func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufffd'
	}), " ")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strings.TrimRight(s, ". ")
}

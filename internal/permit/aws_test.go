package permit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/permit"
)

// amazon is a stand-in for IAM and STS.
type amazon struct {
	mu       sync.Mutex
	arn      string
	sts      string // an error's code; empty for none
	role     string // the ARN that GetRole tells; empty for a refusal
	simulate string // an error's code; empty for none
	status   int    // of errors
	result   func(action, change string) string
	asked    []string
}

const (
	awsAllowed  = `<EvalDecision>allowed</EvalDecision><MatchedStatements><member><SourcePolicyId>renewer-dns</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType><StartPosition><Line>4</Line><Column>5</Column></StartPosition><EndPosition><Line>9</Line><Column>5</Column></EndPosition></member></MatchedStatements>`
	awsImplicit = `<EvalDecision>implicitDeny</EvalDecision>`
	awsExplicit = `<EvalDecision>explicitDeny</EvalDecision><MatchedStatements><member><SourcePolicyId>freeze</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType></member></MatchedStatements>`
	awsBoundary = `<EvalDecision>implicitDeny</EvalDecision><PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>`
	awsOrg      = `<EvalDecision>implicitDeny</EvalDecision><OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations></OrganizationsDecisionDetail>`
	awsMissing  = `<EvalDecision>allowed</EvalDecision><MissingContextValues><member>aws:SourceIp</member></MissingContextValues>`
	awsSpecific = `<EvalDecision>implicitDeny</EvalDecision><ResourceSpecificResults><member><EvalResourceName>arn:aws:route53:::hostedzone/Z111</EvalResourceName><EvalResourceDecision>allowed</EvalResourceDecision></member></ResourceSpecificResults>`
)

func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fail := func(code string) {
		w.WriteHeader(a.status)
		_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>because</Message></Error><RequestId>1</RequestId></ErrorResponse>`, code)
	}
	switch action := r.FormValue("Action"); action {
	case "GetCallerIdentity":
		if a.sts != "" {
			fail(a.sts)
			return
		}
		_, _ = fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>%s</Arn><UserId>x</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, a.arn)
	case "GetRole":
		if a.role == "" {
			w.WriteHeader(403)
			_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
			return
		}
		_, _ = fmt.Fprintf(w, `<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><Arn>%s</Arn><RoleName>x</RoleName><Path>/</Path><RoleId>x</RoleId><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role></GetRoleResult></GetRoleResponse>`, a.role)
	case "SimulatePrincipalPolicy":
		if a.simulate != "" {
			fail(a.simulate)
			return
		}
		change := ""
		var context []string
		for i := 1; r.FormValue(fmt.Sprintf("ContextEntries.member.%d.ContextKeyName", i)) != ""; i++ {
			p := fmt.Sprintf("ContextEntries.member.%d.", i)
			k, v := strings.TrimPrefix(r.FormValue(p+"ContextKeyName"), "route53:ChangeResourceRecordSets"), r.FormValue(p+"ContextKeyValues.member.1")
			context = append(context, k+"="+v)
			if k == "Actions" {
				change = v
			}
		}
		a.asked = append(a.asked, strings.Join(append([]string{r.FormValue("PolicySourceArn"), r.FormValue("ActionNames.member.1"), r.FormValue("ResourceArns.member.1")}, context...), " "))
		_, _ = fmt.Fprintf(w, `<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>%s</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>`,
			a.result(r.FormValue("ActionNames.member.1"), change))
	default:
		w.WriteHeader(400)
	}
}

// always is the same decision for every question.
func always(decision string) func(string, string) string {
	return func(action, _ string) string {
		return `<member><EvalActionName>` + action + `</EvalActionName><EvalResourceName>arn:aws:route53:::hostedzone/Z111</EvalResourceName>` + decision + `</member>`
	}
}

func (a *amazon) asker(t *testing.T, principal string) *permit.AWS {
	t.Helper()
	if a.status == 0 {
		a.status = 403
	}
	if a.arn == "" {
		a.arn = "arn:aws:iam::123456789012:user/renewer"
	}
	if a.result == nil {
		a.result = always(awsAllowed)
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	p, err := permit.NewAWS(permit.AWSOptions{
		HostedZone: "/hostedzone/Z111", IAM: s.URL, STS: s.URL, Principal: principal,
		Settings: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAWS(t *testing.T) {
	t.Parallel()
	each := func(suffix string) string {
		const c = "route53:ChangeResourceRecordSets "
		return "route53:ListResourceRecordSets=" + suffix + " | " + c + "CREATE TXT=" + suffix + " | " + c + "DELETE TXT=" + suffix
	}
	for title, c := range map[string]struct {
		is        *amazon
		principal string
		want      string
	}{
		"allowed":              {want: each("allowed")},
		"allowed on this zone": {is: &amazon{result: always(awsSpecific)}, want: each("allowed")},
		"another identity":     {principal: "arn:aws:iam::123456789012:role/cert-manager", is: &amazon{sts: "AccessDenied"}, want: each("allowed")},
		"no policy allows":     {is: &amazon{result: always(awsImplicit)}, want: each("denied/dns_write_denied/denied")},
		"a policy denies":      {is: &amazon{result: always(awsExplicit)}, want: each("denied/dns_write_denied/forbidden")},
		"the boundary denies":  {is: &amazon{result: always(awsBoundary)}, want: each("denied/dns_write_denied/forbidden")},
		"the organization":     {is: &amazon{result: always(awsOrg)}, want: each("denied/dns_write_denied/forbidden")},
		"a condition":          {is: &amazon{result: always(awsMissing)}, want: each("unclear/permission_unknown/invalid")},
		"no longer deletes": {is: &amazon{result: func(action, change string) string {
			if change == "DELETE" {
				return always(awsImplicit)(action, change)
			}
			return always(awsAllowed)(action, change)
		}}, want: strings.Replace(each("allowed"), "DELETE TXT=allowed", "DELETE TXT=denied/dns_write_denied/denied", 1)},
		"no answer":              {is: &amazon{result: func(string, string) string { return "" }}, want: each("unclear/permission_unknown/broken")},
		"an unknown decision":    {is: &amazon{result: always(`<EvalDecision>maybe</EvalDecision>`)}, want: each("unclear/permission_unknown/broken")},
		"may not ask":            {is: &amazon{simulate: "AccessDenied"}, want: each("unclear/permission_unknown/denied")},
		"throttled":              {is: &amazon{simulate: "Throttling", status: 400}, want: each("unclear/permission_unknown/throttled")},
		"down":                   {is: &amazon{simulate: "ServiceFailure", status: 500}, want: each("unclear/permission_unknown/transient")},
		"identity is gone":       {is: &amazon{simulate: "NoSuchEntity", status: 404}, want: each("unclear/permission_unknown/missing")},
		"key is gone":            {is: &amazon{sts: "InvalidClientTokenId"}, want: each("denied/credential_expiring/expired")},
		"session is over":        {is: &amazon{sts: "ExpiredToken"}, want: each("denied/credential_expiring/expired")},
		"STS is down":            {is: &amazon{sts: "InternalFailure", status: 503}, want: each("unclear/permission_unknown/transient")},
		"the account's root":     {is: &amazon{arn: "arn:aws:iam::123456789012:root"}, want: each("unclear/permission_unknown/invalid")},
		"nonsense for a name":    {is: &amazon{arn: "me"}, want: each("unclear/permission_unknown/invalid")},
		"a role, with its path":  {is: &amazon{arn: "arn:aws:sts::123456789012:assumed-role/renewer/i-0123", role: "arn:aws:iam::123456789012:role/infra/renewer"}, want: each("allowed")},
		"a role without GetRole": {is: &amazon{arn: "arn:aws-cn:sts::123456789012:assumed-role/renewer/i-0123"}, want: each("allowed")},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if c.is == nil {
				c.is = &amazon{}
			}
			got := c.is.asker(t, c.principal).Ask(t.Context(), "_Acme-Challenge.www.example.com.")
			sound(t, got, "wJalrXUtnFEMI")
			if told(got) != c.want {
				t.Errorf("got  %s\nwant %s", told(got), c.want)
			}
			a := got[len(got)-1]
			switch title {
			case "allowed":
				if len(a.Grants) != 1 || a.Grants[0] != "renewer-dns (IAM Policy), lines 4 to 9" || a.Scope != "arn:aws:route53:::hostedzone/Z111" {
					t.Errorf("%+v", a)
				}
				const want = "arn:aws:iam::123456789012:user/renewer route53:ChangeResourceRecordSets arn:aws:route53:::hostedzone/Z111 NormalizedRecordNames=_acme-challenge.www.example.com RecordTypes=TXT Actions=DELETE"
				if c.is.asked[2] != want {
					t.Errorf("asked %s", c.is.asked[2])
				}
			case "a policy denies":
				if len(a.Blockers) != 1 || !strings.HasPrefix(a.Blockers[0], "freeze") {
					t.Errorf("%+v", a)
				}
			case "the boundary denies", "the organization":
				if len(a.Blockers) != 1 {
					t.Errorf("%+v", a)
				}
			case "a condition":
				if !strings.Contains(a.Detail, "aws:SourceIp") {
					t.Errorf("%+v", a)
				}
			case "a role, with its path":
				if a.Identity != "arn:aws:iam::123456789012:role/infra/renewer" {
					t.Errorf("%+v", a)
				}
			case "a role without GetRole":
				if a.Identity != "arn:aws-cn:iam::123456789012:role/renewer" || a.Scope != "arn:aws-cn:route53:::hostedzone/Z111" {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

func TestAWSRefusesWrongSettings(t *testing.T) {
	t.Parallel()
	for _, o := range []permit.AWSOptions{
		{HostedZone: "Z1/../x"},
		{Principal: "arn:aws:iam::123456789012:role/cert-manager"},
		{HostedZone: "Z1", Route53: "ftp://127.0.0.1"},
		{HostedZone: "Z1", Principal: "renewer"},
		{HostedZone: "Z1", IAM: "http://example.com"},
		{HostedZone: "Z1", Settings: map[string]string{"AWS_ACCESS_KEY_ID": "x"}},
	} {
		if _, err := permit.NewAWS(o); err == nil {
			t.Errorf("taken: %+v", o)
		}
	}
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	p, err := permit.NewAWS(permit.AWSOptions{
		HostedZone: "Z111", IAM: s.URL, STS: s.URL, Client: &http.Client{Timeout: 5 * time.Second},
		Settings: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := p.Ask(t.Context(), "_acme-challenge.example.com")
	sound(t, got)
	if len(got) != 3 || got[0].Answer != assure.Untold || got[0].Trouble.Class != assure.TroubleTransient {
		t.Errorf("%+v", got)
	}
}

func TestAWSFindsTheZone(t *testing.T) {
	t.Parallel()
	const rest = " | route53:ListResourceRecordSets=allowed | route53:ChangeResourceRecordSets CREATE TXT=allowed | route53:ChangeResourceRecordSets DELETE TXT=allowed"
	for title, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"found":       {200, `<R><HostedZones><HostedZone><Id>/hostedzone/ZPRIVATE</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone><HostedZone><Id>/hostedzone/Z111</Id><Name>example.com.</Name></HostedZone></HostedZones></R>`, "=allowed" + rest},
		"not there":   {200, `<R><HostedZones><HostedZone><Id>/hostedzone/Z9</Id><Name>zzz.net.</Name></HostedZone></HostedZones></R>`, "=denied/dns_write_denied/missing"},
		"may not":     {403, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`, "=denied/dns_write_denied/denied"},
		"expired":     {403, `<ErrorResponse><Error><Code>ExpiredToken</Code><Message>no</Message></Error></ErrorResponse>`, "=denied/credential_expiring/expired"},
		"throttled":   {400, `<ErrorResponse><Error><Code>Throttling</Code><Message>no</Message></Error></ErrorResponse>`, "=unclear/permission_unknown/throttled"},
		"down":        {503, ``, "=unclear/permission_unknown/transient"},
		"nonsense":    {200, `{`, "=unclear/permission_unknown/broken"},
		"a bad proxy": {403, `<html>`, "=unclear/permission_unknown/denied"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			r53 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/") || r.URL.Path != "/2013-04-01/hostedzonesbyname" {
					t.Errorf("%s %s", r.URL, r.Header.Get("Authorization"))
				}
				w.WriteHeader(c.status)
				_, _ = fmt.Fprint(w, c.body)
			}))
			defer r53.Close()
			s := httptest.NewServer(&amazon{arn: "arn:aws:iam::123456789012:user/renewer", result: always(awsAllowed)})
			defer s.Close()
			p, err := permit.NewAWS(permit.AWSOptions{
				IAM: s.URL, STS: s.URL, Route53: r53.URL,
				Settings: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := p.Ask(t.Context(), "_acme-challenge.www.example.com")
			sound(t, got, "wJalrXUtnFEMI")
			if told(got) != "route53:ListHostedZonesByName"+c.want {
				t.Errorf("got %s", told(got))
			}
		})
	}
}

package permit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/notafter/notafter/internal/assure"
)

// AWSOptions is a hosted zone in Route 53 and the identity whose rights there are asked about.
type AWSOptions struct {
	HostedZone string // its id; empty to look for it, as the writer then does, too
	// Settings are the credentials, by the names of the environment variables that AWS's tools read: keys
	// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), a web identity (AWS_ROLE_ARN,
	// AWS_WEB_IDENTITY_TOKEN_FILE), a profile (AWS_PROFILE and its files), a role to assume with them
	// (AWS_ASSUME_ROLE_ARN, AWS_EXTERNAL_ID), AWS_REGION. Without any the machine's own identity is used.
	Settings map[string]string
	// Principal is the ARN of the user or role that is asked about; empty means the one that signs in.
	Principal string
	// IAM, STS and Route53 replace the services' addresses, for tests and private clouds.
	IAM, STS, Route53 string
	// Client carries the requests; nil means one of our own.
	Client *http.Client
}

// What a renewal needs in Route 53. The writer replaces sets by deleting and creating them in one batch and never uses
// UPSERT; a policy may allow the one and not the other, so each is a question of its own.
const (
	awsList   = "route53:ListResourceRecordSets"
	awsChange = "route53:ChangeResourceRecordSets"
)

// awsTimeout bounds all that one Ask asks: some sixteen small requests at most.
const awsTimeout = time.Minute

// AWS asks IAM to simulate the policies of a user or role (iam:SimulatePrincipalPolicy), which names the statements that
// decide. It knows identity policies, permissions boundaries and, in part, the organization's policies; a service control
// policy with conditions, a session policy and the trust policy of the role are not simulated.
//
// What it needs: iam:SimulatePrincipalPolicy on the identity, and iam:GetRole for a role with a path. Nothing is retried.
// Safe for concurrent use.
type AWS struct {
	o AWSOptions
}

// NewAWS returns an asker. It asks nothing yet; an error is a wrong setting.
func NewAWS(o AWSOptions) (*AWS, error) {
	o.HostedZone = strings.TrimPrefix(o.HostedZone, "/hostedzone/")
	if o.HostedZone != "" && !awsZone.MatchString(o.HostedZone) {
		return nil, errors.New("aws permissions: the id of the hosted zone is not like Z0123456789ABC")
	}
	if o.HostedZone == "" && o.Principal != "" {
		return nil, errors.New("aws permissions: the id of the hosted zone is required to ask about another identity")
	}
	if (o.Settings["AWS_ACCESS_KEY_ID"] == "") != (o.Settings["AWS_SECRET_ACCESS_KEY"] == "") {
		return nil, errors.New("aws permissions: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together")
	}
	if o.Principal != "" && !awsARN.MatchString(o.Principal) {
		return nil, errors.New("aws permissions: the principal is not the ARN of a user or a role")
	}
	for _, a := range []string{o.IAM, o.STS, o.Route53} {
		if err := checkAddress(a); err != nil {
			return nil, fmt.Errorf("aws permissions: %w", err)
		}
	}
	return &AWS{o}, nil
}

var (
	awsZone = regexp.MustCompile(`^[A-Z0-9]{1,32}$`)
	awsARN  = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}):(user|role)/[\w+=,.@/-]+$`)
	// awsSession is what STS calls the session of a role.
	awsSession = regexp.MustCompile(`^arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([\w+=,.@-]+)/.+$`)
)

// checkAddress takes https, and plain HTTP to this machine; an empty address is the service's own.
func checkAddress(a string) error {
	if a == "" {
		return nil
	}
	u, err := url.Parse(a)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("the address of the service is not like https://host")
	}
	if h := u.Hostname(); u.Scheme != "https" && (u.Scheme != "http" || h != "localhost" && !strings.HasPrefix(h, "127.") && h != "::1") {
		return errors.New("the address of the service is not https")
	}
	return nil
}

// configure loads credentials afresh.
func (a *AWS) configure(ctx context.Context) (aws.Config, error) {
	get := func(n string) string { return a.o.Settings[n] }
	region := get("AWS_REGION")
	if region == "" {
		region = "us-east-1"
	}
	opts := []func(*config.LoadOptions) error{
		config.WithRegion(region), config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if id := get("AWS_ACCESS_KEY_ID"); id != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, get("AWS_SECRET_ACCESS_KEY"), get("AWS_SESSION_TOKEN"))))
	}
	if p := get("AWS_PROFILE"); p != "" {
		opts = append(opts, config.WithSharedConfigProfile(p))
	}
	if f := get("AWS_SHARED_CREDENTIALS_FILE"); f != "" {
		opts = append(opts, config.WithSharedCredentialsFiles([]string{f}))
	}
	if f := get("AWS_CONFIG_FILE"); f != "" {
		opts = append(opts, config.WithSharedConfigFiles([]string{f}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, err
	}
	if a.o.Client != nil {
		cfg.HTTPClient = a.o.Client
	}
	if role, file := get("AWS_ROLE_ARN"), get("AWS_WEB_IDENTITY_TOKEN_FILE"); role != "" && file != "" {
		cfg.Credentials = stscreds.NewWebIdentityRoleProvider(a.sts(cfg), role, stscreds.IdentityTokenFile(file))
	}
	if role := get("AWS_ASSUME_ROLE_ARN"); role != "" {
		cfg.Credentials = stscreds.NewAssumeRoleProvider(a.sts(cfg), role, func(o *stscreds.AssumeRoleOptions) {
			if x := get("AWS_EXTERNAL_ID"); x != "" {
				o.ExternalID = &x
			}
		})
	}
	return cfg, nil
}

func (a *AWS) sts(cfg aws.Config) *sts.Client {
	return sts.NewFromConfig(cfg, func(o *sts.Options) {
		if a.o.STS != "" {
			o.BaseEndpoint = &a.o.STS
		}
	})
}

// Ask answers for listing the TXT records at record, for creating a set of them and for deleting it, in this order; before
// these for finding the zone, when it has to be found.
func (a *AWS) Ask(ctx context.Context, record string) []assure.Access {
	ctx, cancel := context.WithTimeout(ctx, awsTimeout)
	defer cancel()
	record = strings.ToLower(strings.TrimSuffix(record, "."))
	cfg, err := a.configure(ctx)
	if err != nil {
		return a.all(awsTrouble(err, "load credentials"))
	}
	who, partition, t := a.who(ctx, cfg)
	if t != nil {
		return a.all(t)
	}
	client := iam.NewFromConfig(cfg, func(o *iam.Options) {
		if a.o.IAM != "" {
			o.BaseEndpoint = &a.o.IAM
		}
	})
	if who, t = a.withPath(ctx, client, who); t != nil {
		return a.all(t)
	}
	var out []assure.Access
	id := a.o.HostedZone
	if id == "" {
		var found assure.Access
		if id, found = a.find(ctx, cfg, who, record); id == "" {
			return []assure.Access{found} // about a zone that is not seen nothing can be asked
		}
		out = append(out, found)
	}
	zone := "arn:" + partition + ":route53:::hostedzone/" + id
	for _, q := range awsQuestions(record) {
		out = append(out, a.simulate(ctx, client, who, zone, q))
	}
	return out
}

// awsQuestion is one action, with what the request would be like, as policies can look at it.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-conditions-route53.html
type awsQuestion struct {
	action, change, record string
}

func awsQuestions(record string) []awsQuestion {
	return []awsQuestion{{awsList, "", record}, {awsChange, "CREATE", record}, {awsChange, "DELETE", record}}
}

func (q awsQuestion) name() string {
	if q.change == "" {
		return q.action
	}
	return q.action + " " + q.change + " TXT"
}

func (q awsQuestion) context() []types.ContextEntry {
	if q.change == "" {
		return nil
	}
	entry := func(key, value string) types.ContextEntry {
		key = "route53:ChangeResourceRecordSets" + key
		return types.ContextEntry{ContextKeyName: &key, ContextKeyType: types.ContextKeyTypeEnumStringList, ContextKeyValues: []string{value}}
	}
	return []types.ContextEntry{entry("NormalizedRecordNames", q.record), entry("RecordTypes", "TXT"), entry("Actions", q.change)}
}

func (a *AWS) simulate(ctx context.Context, client *iam.Client, who, zone string, q awsQuestion) assure.Access {
	res, err := client.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: &who, ActionNames: []string{q.action}, ResourceArns: []string{zone}, ContextEntries: q.context(),
	})
	var access assure.Access
	if err != nil {
		t := awsTrouble(err, "iam:SimulatePrincipalPolicy")
		if t.Class == assure.TroubleMissing {
			t.Detail = "IAM knows no such identity: " + t.Detail
		}
		access = untold(t)
	} else {
		access = awsDecide(res.EvaluationResults)
	}
	access.Identity, access.Action, access.Scope = who, q.name(), zone
	if t := access.Trouble; t != nil {
		t.Identity, t.Scope = who, zone
		if t.Action == "" {
			t.Action = q.name()
		}
	}
	return access
}

// who names the identity that is asked about, and its partition.
func (a *AWS) who(ctx context.Context, cfg aws.Config) (who, partition string, t *assure.Trouble) {
	if m := awsARN.FindStringSubmatch(a.o.Principal); m != nil {
		return a.o.Principal, m[1], nil
	}
	id, err := a.sts(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", "", awsTrouble(err, "sts:GetCallerIdentity")
	}
	arn := clean(aws.ToString(id.Arn), 300)
	if m := awsARN.FindStringSubmatch(arn); m != nil {
		return arn, m[1], nil
	}
	if m := awsSession.FindStringSubmatch(arn); m != nil {
		return "arn:" + m[1] + ":iam::" + m[2] + ":role/" + m[3], m[1], nil
	}
	return "", "", &assure.Trouble{
		Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Identity: arn, Action: "iam:SimulatePrincipalPolicy",
		Detail: "IAM simulates policies of users and roles only, and this identity is neither",
		Remedy: "Renew as a role or a user that may do this and nothing else",
	}
}

// withPath completes a role's ARN: the session of a role does not tell its path, and IAM knows the role only with it.
func (a *AWS) withPath(ctx context.Context, client *iam.Client, who string) (string, *assure.Trouble) {
	name, ok := strings.CutPrefix(who[strings.LastIndex(who, ":")+1:], "role/")
	if !ok || a.o.Principal != "" {
		return who, nil
	}
	r, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if err != nil || r.Role == nil || !awsARN.MatchString(aws.ToString(r.Role.Arn)) {
		return who, nil // right for a role without a path; for another one IAM will say that it knows no such identity
	}
	return *r.Role.Arn, nil
}

// all is the same answer to every question.
func (a *AWS) all(t *assure.Trouble) []assure.Access {
	var out []assure.Access
	for _, q := range awsQuestions("") {
		access := untold(t)
		if t.Reason == assure.CredentialExpiring {
			access.Answer = assure.Forbidden
		}
		who := t.Identity
		for _, n := range []string{"AWS_ASSUME_ROLE_ARN", "AWS_ROLE_ARN", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"} {
			if who == "" {
				who = a.o.Settings[n]
			}
		}
		if who == "" {
			who = "the machine's own identity"
		}
		access = complete(access, who, q.name(), "hostedzone/"+cmp.Or(a.o.HostedZone, "*"))
		access.Trouble.Action = t.Action // what was refused is the question, not what it is about
		out = append(out, access)
	}
	return out
}

package legochild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/notafter/notafter/internal/assure"
)

// Route 53 changes record sets in batches that are made whole or not at all, and deleting a set demands its exact values
// and TTL: deleting the old and creating the new set in one batch is an exchange by comparison.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
const (
	route53Base  = "https://route53.amazonaws.com"
	route53Space = "https://route53.amazonaws.com/doc/2013-04-01/"
)

func openRoute53(s Settings) (writer, error) {
	id, key := s.get("AWS_ACCESS_KEY_ID"), s.get("AWS_SECRET_ACCESS_KEY")
	if (id == "") != (key == "") {
		return nil, fmt.Errorf("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together")
	}
	region := "us-east-1" // Route 53 is signed for in one region of each partition
	base := route53Base
	switch r := s.get("AWS_REGION"); {
	case strings.HasPrefix(r, "cn-"):
		base, region = "https://route53.amazonaws.com.cn", "cn-northwest-1"
	case strings.HasPrefix(r, "us-gov-"):
		base, region = "https://route53.us-gov.amazonaws.com", "us-gov-west-1"
	}
	base, err := endpoint(orElse(s.get("AWS_ENDPOINT_URL_ROUTE_53"), base), false)
	if err != nil {
		return nil, err
	}
	return sets{&route53{
		api:  newAPI("Route 53", base, signAWS(s, region), sayAWS),
		zone: strings.TrimPrefix(s.get("AWS_HOSTED_ZONE_ID"), "/hostedzone/"), private: s.get("AWS_PRIVATE_ZONE") == "true",
	}, s.whole("AWS_TTL", 10)}, nil
}

// signAWS signs with version 4. Without keys in the settings the SDK's default chain finds them: a profile, a web
// identity, a container's or an instance's role. It reads the environment, which holds this provider's settings only.
func signAWS(s Settings, region string) func(*http.Request, []byte) error {
	var from aws.CredentialsProvider
	return func(r *http.Request, body []byte) error {
		ctx := r.Context()
		if from == nil {
			opts := []func(*config.LoadOptions) error{config.WithRegion(orElse(s.get("AWS_REGION"), region))}
			if id := s.get("AWS_ACCESS_KEY_ID"); id != "" {
				opts = append(opts, config.WithCredentialsProvider(
					credentials.NewStaticCredentialsProvider(id, s.get("AWS_SECRET_ACCESS_KEY"), s.get("AWS_SESSION_TOKEN"))))
			}
			cfg, err := config.LoadDefaultConfig(ctx, opts...)
			if err != nil {
				return err
			}
			from = cfg.Credentials
			if role := s.get("AWS_ASSUME_ROLE_ARN"); role != "" {
				from = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role, func(o *stscreds.AssumeRoleOptions) {
					if x := s.get("AWS_EXTERNAL_ID"); x != "" {
						o.ExternalID = &x
					}
				})
			}
		}
		creds, err := from.Retrieve(ctx)
		if err != nil {
			return awsCredentialTrouble(err)
		}
		sum := sha256.Sum256(body)
		return v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(sum[:]), "route53", region, time.Now())
	}
}

func awsCredentialTrouble(err error) error {
	class, reason := assure.TroubleTransient, assure.DNSWriteFailed
	if m := err.Error(); strings.Contains(m, "AccessDenied") || strings.Contains(m, "ExpiredToken") || strings.Contains(m, "InvalidIdentityToken") {
		class, reason = assure.TroubleExpired, assure.CredentialExpiring
	}
	return &assure.Trouble{Reason: reason, Class: class, Action: "sts:AssumeRole", Detail: "get credentials for AWS: " + plain(err.Error(), 400)}
}

func sayAWS(status int, body []byte) (s said) {
	var e struct {
		Errors []struct {
			Code    string `xml:"Code"`
			Message string `xml:"Message"`
		} `xml:"Error"`
		Messages []string `xml:"Messages>Message"` // of InvalidChangeBatch
	}
	if status/100 == 2 || xml.Unmarshal(body, &e) != nil {
		return s
	}
	s.text = strings.Join(e.Messages, " ")
	if len(e.Errors) > 0 {
		s.code, s.text = e.Errors[0].Code, strings.TrimSpace(e.Errors[0].Message+" "+s.text)
	} else if len(e.Messages) > 0 {
		s.code = "InvalidChangeBatch"
	}
	switch s.code {
	case "Throttling", "ThrottlingException", "RequestLimitExceeded":
		s.class = assure.TroubleThrottled
	case "PriorRequestNotComplete":
		s.class = assure.TroubleConflict
	case "InvalidChangeBatch":
		if strings.Contains(s.text, "do not match the current values") || strings.Contains(s.text, "already exists") || strings.Contains(s.text, "was not found") {
			s.class = assure.TroubleConflict
		}
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "MissingAuthenticationToken":
		s.class = assure.TroubleExpired
	case "AccessDenied", "AccessDeniedException", "NotAuthorized":
		s.class = assure.TroubleDenied
		if strings.Contains(s.text, "explicit deny") {
			s.class = assure.TroubleForbidden
		}
	case "NoSuchHostedZone":
		s.class = assure.TroubleMissing
	}
	return s
}

// awsRefusal reads AWS's sentence about a refusal.
var awsRefusal = regexp.MustCompile(`User: (arn:\S+) is not authorized to perform: (\S+)(?: on resource: (arn:\S+))?`)

func (p *route53) ask(ctx context.Context, method, path string, in []byte, out any) error {
	var body any
	if in != nil {
		body = in
	}
	err := p.call(ctx, method, path, body, xmlOut{out})
	t := troubleIn(err)
	if t == nil {
		return err
	}
	if m := awsRefusal.FindStringSubmatch(t.Detail); m != nil {
		t.Identity, t.Action, t.Scope = m[1], m[2], strings.TrimRight(m[3], ".")
	}
	return t
}

type route53 struct {
	*api
	zone    string
	private bool
}

func (p *route53) find(ctx context.Context, name string) (spot, error) {
	if p.zone != "" {
		return spot{name: name, id: p.zone}, nil
	}
	return zoneOf(ctx, name, 1, func(ctx context.Context, zone string) (string, error) {
		var l struct {
			Zones []struct {
				ID      string `xml:"Id"`
				Name    string `xml:"Name"`
				Private bool   `xml:"Config>PrivateZone"`
			} `xml:"HostedZones>HostedZone"`
		}
		if err := p.ask(ctx, http.MethodGet, "/2013-04-01/hostedzonesbyname?maxitems=20&dnsname="+url.QueryEscape(zone), nil, &l); err != nil {
			return "", err
		}
		for _, z := range l.Zones {
			if strings.TrimSuffix(z.Name, ".") == zone && z.Private == p.private {
				return strings.TrimPrefix(z.ID, "/hostedzone/"), nil
			}
		}
		return "", noZone(zone)
	})
}

type route53Set struct {
	Name  string   `xml:"Name"`
	Type  string   `xml:"Type"`
	TTL   int      `xml:"TTL"`
	Data  []string `xml:"ResourceRecords>ResourceRecord>Value"`
	SetID string   `xml:"SetIdentifier,omitempty"`
}

func (p *route53) read(ctx context.Context, at spot) (set, error) {
	var l struct {
		Sets []route53Set `xml:"ResourceRecordSets>ResourceRecordSet"`
	}
	err := p.ask(ctx, http.MethodGet, "/2013-04-01/hostedzone/"+url.PathEscape(at.id)+"/rrset?maxitems=1&type=TXT&name="+url.QueryEscape(at.name), nil, &l)
	if err != nil {
		return set{}, err
	}
	for _, s := range l.Sets {
		if s.Type != "TXT" || strings.TrimSuffix(s.Name, ".") != at.name {
			continue
		}
		if s.SetID != "" {
			return set{}, invalid("the TXT records at " + at.name + " are routed by policy, which cannot be exchanged as one set")
		}
		return set{ttl: s.TTL, data: s.Data}, nil
	}
	return set{}, nil
}

func (p *route53) swap(ctx context.Context, at spot, from, to set) error {
	type change struct {
		Action string     `xml:"Action"`
		Set    route53Set `xml:"ResourceRecordSet"`
	}
	q := struct {
		XMLName xml.Name `xml:"ChangeResourceRecordSetsRequest"`
		Space   string   `xml:"xmlns,attr"`
		Changes []change `xml:"ChangeBatch>Changes>Change"`
	}{Space: route53Space}
	for _, c := range []struct {
		action string
		set    set
	}{{"DELETE", from}, {"CREATE", to}} {
		if len(c.set.data) > 0 {
			q.Changes = append(q.Changes, change{c.action, route53Set{Name: at.name + ".", Type: "TXT", TTL: c.set.ttl, Data: c.set.data}})
		}
	}
	body, err := xml.Marshal(q)
	if err != nil {
		return fmt.Errorf("write a change for Route 53: %w", err)
	}
	return p.ask(ctx, http.MethodPost, "/2013-04-01/hostedzone/"+url.PathEscape(at.id)+"/rrset/", append([]byte(xml.Header), body...), &struct{}{})
}

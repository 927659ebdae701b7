package permit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/notafter/notafter/internal/assure"
)

// awsFind is needed on all zones when the zone is looked for.
const awsFind = "route53:ListHostedZonesByName"

// find looks for the public hosted zone that holds the record as the writer does, and answers for that as well: it is
// asked for in earnest, so that a refusal is one.
func (a *AWS) find(ctx context.Context, cfg aws.Config, who, record string) (zone string, access assure.Access) {
	labels := strings.Split(record, ".")
	for i := max(0, len(labels)-10); i < len(labels); i++ {
		name := strings.Join(labels[i:], ".")
		id, t := a.zone(ctx, cfg, name)
		switch {
		case t != nil && t.Reason == assure.PermissionUnclear:
			return "", complete(untold(t), who, awsFind, "*")
		case t != nil:
			return "", complete(assure.Access{Answer: assure.Forbidden, Detail: t.Detail, Trouble: t}, who, awsFind, "*")
		case id != "":
			return id, complete(assure.Access{Answer: assure.Allowed, Detail: "the zone was found"}, who, awsFind, "*")
		}
	}
	return "", complete(assure.Access{Answer: assure.Forbidden, Detail: "no public hosted zone of the account holds " + clean(record, 260), Trouble: &assure.Trouble{
		Reason: assure.DNSWriteDenied, Class: assure.TroubleMissing, Remedy: "See whether the zone was deleted, or belongs to another account",
	}}, who, awsFind, "*")
}

// zone asks for the hosted zone of exactly this name; id is empty when there is none.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html
func (a *AWS) zone(ctx context.Context, cfg aws.Config, name string) (id string, t *assure.Trouble) {
	base, region := "https://route53.amazonaws.com", "us-east-1"
	switch {
	case strings.HasPrefix(cfg.Region, "cn-"):
		base, region = "https://route53.amazonaws.com.cn", "cn-northwest-1"
	case strings.HasPrefix(cfg.Region, "us-gov-"):
		base, region = "https://route53.us-gov.amazonaws.com", "us-gov-west-1"
	}
	if a.o.Route53 != "" {
		base = strings.TrimRight(a.o.Route53, "/")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/2013-04-01/hostedzonesbyname?maxitems=20&dnsname="+url.QueryEscape(name), nil)
	if err != nil {
		return "", awsTrouble(err, awsFind)
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", awsTrouble(err, awsFind)
	}
	empty := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(empty[:]), "route53", region, time.Now()); err != nil {
		return "", awsTrouble(err, awsFind)
	}
	res, err := cfg.HTTPClient.Do(r)
	if err != nil {
		return "", unanswered("Route 53", awsFind, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, webBody))
	if err != nil {
		return "", unanswered("Route 53", awsFind, err)
	}
	if res.StatusCode != http.StatusOK {
		return "", awsRefused(res, b)
	}
	var l struct {
		Zones []struct {
			ID      string `xml:"Id"`
			Name    string `xml:"Name"`
			Private bool   `xml:"Config>PrivateZone"`
		} `xml:"HostedZones>HostedZone"`
	}
	if xml.Unmarshal(b, &l) != nil {
		return "", &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleBroken, Detail: "Route 53 answered with what cannot be read"}
	}
	for _, z := range l.Zones {
		if id := strings.TrimPrefix(z.ID, "/hostedzone/"); strings.TrimSuffix(z.Name, ".") == name && !z.Private && awsZone.MatchString(id) {
			return id, nil
		}
	}
	return "", nil
}

func awsRefused(res *http.Response, body []byte) *assure.Trouble {
	var e struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	_ = xml.Unmarshal(body, &e) // without it the status speaks
	t := refused("Route 53", awsFind, res, e.Code+" "+e.Message)
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		t.Reason, t.Class = assure.DNSWriteDenied, assure.TroubleDenied
		t.Remedy = fmt.Sprintf("Allow the identity %s, or set the id of the hosted zone", awsFind)
	case "ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch":
		t.Reason, t.Class, t.Remedy = assure.CredentialExpiring, assure.TroubleExpired, "Make a new key, or mend what gives the token"
	case "Throttling", "ThrottlingException":
		t.Class = assure.TroubleThrottled
	}
	return t
}

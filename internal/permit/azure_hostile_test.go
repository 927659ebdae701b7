package permit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/permit"
)

const hostileHome = "https://management.example"

// hostile is a Resource Manager that answers what it likes, by a part of the path.
type hostile struct {
	answers map[string]func(r *http.Request) (status int, body io.Reader)
	bytes   atomic.Int64
	calls   atomic.Int64
	strayed atomic.Int64 // requests to other hosts
}

func (h *hostile) RoundTrip(r *http.Request) (*http.Response, error) {
	h.calls.Add(1)
	if !strings.HasPrefix(r.URL.String(), hostileHome+"/") {
		h.strayed.Add(1)
	}
	status, body := http.StatusForbidden, io.Reader(strings.NewReader(`{"error":{"code":"AuthorizationFailed","message":"no"}}`))
	for part, answer := range h.answers {
		if strings.Contains(r.URL.Path, part) {
			status, body = answer(r)
		}
	}
	return &http.Response{
		Status: fmt.Sprint(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(counting{body, &h.bytes}),
	}, nil
}

type counting struct {
	io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type anyToken struct{}

func (anyToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func page(items, next string) func(*http.Request) (int, io.Reader) {
	return func(*http.Request) (int, io.Reader) {
		return http.StatusOK, strings.NewReader(`{"value":[` + items + `],"nextLink":"` + next + `"}`)
	}
}

// Lists that do not end, lead elsewhere or are larger than any Azure has are given up soon: what they would say is not
// known, and the token goes nowhere else.
func TestAzureAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const zone = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/dnsZones/example.com"
	lock := `{"id":"` + zone + `/providers/Microsoft.Authorization/locks/l","properties":{"level":"ReadOnly"}}`
	many := func(one string) string {
		return strings.Repeat(one+`,{"padding":"`+strings.Repeat("a", 100_000)+`"},`, 20) + one
	}
	grant := `{"id":"` + zone + `/providers/Microsoft.Authorization/roleAssignments/a","properties":{"principalId":"` + azObject + `","scope":"` + zone + `","roleDefinitionId":"r"}}`
	deny := `{"id":"` + zone + `/providers/Microsoft.Authorization/denyAssignments/d","properties":{"scope":"` + zone + `","principals":[{"id":"00000000-0000-0000-0000-000000000000"}]}}`
	const locks, grants, denies = "/locks", "/roleAssignments", "/denyAssignments"
	none := page("", "")
	for name, answers := range map[string]map[string]func(*http.Request) (int, io.Reader){
		"locks that lead to themselves": {locks: page(lock, hostileHome+zone+"/providers/Microsoft.Authorization/locks?again"), grants: none, denies: none},
		"locks without end": {locks: func(r *http.Request) (int, io.Reader) {
			return page(lock, hostileHome+zone+"/providers/Microsoft.Authorization/locks?x="+r.URL.RawQuery+"x")(r)
		}, grants: none, denies: none},
		"locks elsewhere":                {locks: page(lock, "https://elsewhere.example/locks"), grants: none, denies: none},
		"grants that lead to themselves": {locks: none, grants: page(many(grant), hostileHome+zone+"/providers/Microsoft.Authorization/roleAssignments?again"), denies: none},
		"grants elsewhere":               {locks: none, grants: page(grant, "https://elsewhere.example/roleAssignments"), denies: none},
		"denials elsewhere":              {locks: none, grants: none, denies: page(deny, "https://elsewhere.example/denyAssignments")},
		"denials that lead to themselves": {
			locks: none, grants: none, denies: page(many(deny), hostileHome+zone+"/providers/Microsoft.Authorization/denyAssignments?again"),
		},
		"100 MB of locks": {locks: func(*http.Request) (int, io.Reader) { return http.StatusOK, bytes.NewReader(make([]byte, 100<<20)) }, grants: none, denies: none},
		"100 MB of words": {locks: none, grants: none, denies: none, "/checkAccess": func(*http.Request) (int, io.Reader) {
			return http.StatusInternalServerError, bytes.NewReader(make([]byte, 100<<20))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hostile{answers: answers}
			p, err := permit.NewAzure(permit.AzureOptions{
				Subscription: "s", ResourceGroup: "g", Zone: "example.com", Object: azObject, Client: &http.Client{Transport: h},
				Login: func() (azcore.TokenCredential, error) { return anyToken{}, nil },
				Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: hostileHome, Audience: hostileHome}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			list := p.Ask(t.Context(), azRecord)
			t.Logf("%s: %d requests, %d bytes in %s: %v", name, h.calls.Load(), h.bytes.Load(), time.Since(began).Round(time.Millisecond), list[1].Detail)
			for _, a := range list {
				if a.Answer == assure.Allowed {
					t.Errorf("%s is allowed", a.Action)
				}
			}
			if h.strayed.Load() > 0 {
				t.Errorf("%d requests went elsewhere", h.strayed.Load())
			}
			if n := h.bytes.Load(); n > 24<<20 {
				t.Errorf("%d bytes were read", n)
			}
		})
	}
}

// Where nobody answers, what went wrong is told, and not the SDK's way to it.
func TestAzureNobodyAnswers(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	asker := a.asker(t)
	a.Stop()
	for _, x := range asker.Ask(t.Context(), azRecord) {
		if d := x.Trouble.Detail; x.Answer != assure.Untold || !strings.HasPrefix(d, "no token from Azure: dial tcp") || strings.Contains(d, "troubleshoot") {
			t.Errorf("it is told as %s", d)
		}
	}
}

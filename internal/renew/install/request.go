package install

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// pause waits, or returns the context's error when that ends first. Tests put their own in its place.
type pause func(ctx context.Context, d time.Duration) error

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longestPause bounds the pauses between attempts, which double from one second on.
const longestPause = 15 * time.Second

// attempts calls once until it works, its trouble is one that passes not by itself, or the next attempt would come after
// the context's deadline. Whether an earlier attempt may have had its effect is kept in the last one's trouble.
func attempts(ctx context.Context, wait pause, once func(context.Context) error) error {
	happened := false
	for next := time.Second; ; next = min(2*next, longestPause) {
		err := once(ctx)
		if err == nil {
			return nil
		}
		t := assure.TroubleOf(err, assure.InstallFailed)
		happened = happened || t.Happened
		stop := changed(t, func(t *assure.Trouble) { t.Happened = happened })
		if !t.Class.Retry() || ctx.Err() != nil {
			return stop
		}
		d := max(next, t.RetryAfter)
		if end, ok := ctx.Deadline(); !ok || d >= time.Until(end) {
			return stop
		}
		if wait(ctx, d) != nil {
			return stop
		}
	}
}

// maxAnswer is how much of an answer is read, in bytes. A Kubernetes secret is at most 1 MiB (MaxSecretSize,
// kubernetes/kubernetes pkg/apis/core/types.go), and a third more in base64.
const maxAnswer = 4 << 20

type answer struct {
	status int
	header http.Header
	body   []byte
	cut    bool // the body did not come to its end
}

// client makes an HTTP client that follows no redirects: a key is not carried to where somebody else points.
func client(conf *tls.Config, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: proxy, TLSClientConfig: conf, ForceAttemptHTTP2: true,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends one request. Its error is a trouble that never holds the address: it may be a secret.
func ask(c *http.Client, r *http.Request) (answer, error) {
	res, err := c.Do(r)
	if err != nil {
		return answer{}, requestTrouble(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to the end or given up
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return answer{status: res.StatusCode, header: res.Header, body: body, cut: err != nil}, nil
}

func requestTrouble(err error) *assure.Trouble {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	t := trouble(assure.TroubleTransient, clip("no answer: "+err.Error()))
	t.Happened = true // unless it is seen below that nothing was sent
	var oe *net.OpError
	var ve *tls.CertificateVerificationError
	var he x509.HostnameError
	switch {
	case errors.As(err, &ve), errors.As(err, &he):
		t.Class, t.Happened = assure.TroubleBroken, false
		t.Remedy = "The server's certificate is not trusted: correct its certificate, or the CA in the configuration"
	case errors.As(err, &oe) && oe.Op == "dial":
		t.Happened = false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		t.Detail = "no answer came in time"
	}
	return t
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110 section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

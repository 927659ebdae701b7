package renew

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// directoryAge is how old the directory that an order is placed by may be. [CA.Check] always asks anew.
const directoryAge = time.Hour

// catalogue is a directory as the CA gave it, with the acmez client that works by it.
//
// acmez keeps a directory for the life of its client, and a second copy for 12 hours for the whole process, so that it
// would never notice a profile that is withdrawn. We fetch directories ourselves and give acmez each one under an
// address of its own (a fragment, which never travels), served from memory. What acmez gets names no renewal
// information: it would ask for it with every certificate that it downloads, and wait for seconds when that fails.
type catalogue struct {
	acme.Directory
	client  *acme.Client
	hash    string
	fetched time.Time
}

// directory returns a directory that is at most maxAge old; zero asks the CA. An older one is better than none for
// those who would have accepted an old one.
//
// Of those who wait for each other, one asks: a CA that hangs would keep a thousand certificates waiting one after the
// other.
func (c *CA) directory(ctx context.Context, maxAge time.Duration) (*catalogue, error) {
	begun := c.fetches.Load()
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	if c.missed != nil && c.fetches.Load() > begun && (c.dir == nil || maxAge == 0) {
		return nil, c.missed
	}
	return c.directoryLocked(ctx, maxAge)
}

func (c *CA) directoryLocked(ctx context.Context, maxAge time.Duration) (*catalogue, error) {
	if d := c.dir; d != nil && maxAge > 0 {
		if age := c.o.Now().Sub(d.fetched); age >= 0 && age < maxAge {
			return d, nil
		}
	}
	c.fetches.Add(1)
	c.missed = nil
	hctx, h := hear(ctx)
	raw, err := c.get(hctx, c.o.Directory)
	if err != nil && ctx.Err() == nil && isTransport(err) {
		raw, err = c.get(hctx, c.o.Directory) // once more: a connection that broke says little
	}
	var d acme.Directory
	if err == nil {
		d, err = parseDirectory(raw)
	}
	if err != nil {
		if c.dir != nil && maxAge > 0 {
			c.o.Logger.Warn("the ACME directory could not be fetched again; the old one is used", "directory", c.o.Directory, "error", clip(err.Error()))
			return c.dir, nil
		}
		err = c.trouble(err, h, "fetch the directory of "+c.String())
		if ctx.Err() == nil {
			c.missed = err
		}
		return nil, err
	}
	// What counts is what was understood: Let's Encrypt puts a random entry into each answer, to see who minds.
	understood, err := json.Marshal(d)
	if err != nil {
		return nil, c.trouble(err, nil, "keep the directory of "+c.String())
	}
	sum := sha256.Sum256(understood)
	hash := hex.EncodeToString(sum[:16])
	if c.dir != nil && c.dir.hash == hash {
		fresh := *c.dir
		fresh.fetched = c.o.Now()
		c.dir = &fresh
		return c.dir, nil
	}
	forClient := d
	forClient.RenewalInfo = ""
	doc, err := json.Marshal(forClient)
	if err != nil {
		return nil, c.trouble(err, nil, "keep the directory of "+c.String())
	}
	c.wire.keep(hash, doc)
	next := &catalogue{Directory: d, hash: hash, fetched: c.o.Now(), client: &acme.Client{
		Directory: c.o.Directory + "#" + hash, HTTPClient: c.http, UserAgent: c.o.UserAgent,
		// acmez is not to poll: it does not honour pauses when a poll fails, and gives up at the first failure.
		PollInterval: time.Nanosecond, PollTimeout: time.Nanosecond,
	}}
	if _, err := next.client.GetDirectory(ctx); err != nil { // from memory
		return nil, c.trouble(err, nil, "read the directory of "+c.String())
	}
	c.dir = next
	return next, nil
}

// parseDirectory reads a directory (RFC 8555 section 7.1.1). What it lets through has every address that an order
// needs, all of them https.
func parseDirectory(raw []byte) (acme.Directory, error) {
	var d acme.Directory
	if err := json.Unmarshal(raw, &d); err != nil {
		return acme.Directory{}, errors.New("the directory is not the JSON that RFC 8555 section 7.1.1 describes")
	}
	for _, e := range []struct {
		name, address string
		needed        bool
	}{
		{"newNonce", d.NewNonce, true},
		{"newAccount", d.NewAccount, true},
		{"newOrder", d.NewOrder, true},
		{"keyChange", d.KeyChange, false},
		{"renewalInfo", d.RenewalInfo, false},
	} {
		if e.address == "" && !e.needed {
			continue
		}
		u, err := url.Parse(e.address)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return acme.Directory{}, fmt.Errorf("the directory's %s is not an https address: %q", e.name, clip(e.address))
		}
	}
	return d, nil
}

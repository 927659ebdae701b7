package legochild

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// acme-dns serves one subdomain for each account, with the last two values that were written, each of exactly 43
// characters of base64url. There is no way to withdraw one. https://github.com/joohoi/acme-dns#api

func openAcmedns(s Settings) (writer, error) {
	base, err := endpoint(s.get("ACME_DNS_API_BASE"), true)
	if err != nil {
		return nil, err
	}
	p := &acmedns{api: newAPI("acme-dns", base, nil, sayError), path: s.get("ACME_DNS_STORAGE_PATH")}
	if u := s.get("ACME_DNS_STORAGE_BASE_URL"); u != "" {
		if u, err = endpoint(u, true); err != nil {
			return nil, err
		}
		p.store = newAPI("the store of acme-dns accounts", u, nil, nil)
	}
	if (p.path == "") == (p.store == nil) {
		return nil, fmt.Errorf("acmedns needs ACME_DNS_STORAGE_PATH or ACME_DNS_STORAGE_BASE_URL, not both")
	}
	return p, nil
}

type acmedns struct {
	*api
	path  string
	store *api
}

// acmednsAccount is an account as lego and acme-dns' own client keep it, by the domain that it was made for.
type acmednsAccount struct {
	FullDomain string `json:"fulldomain"`
	SubDomain  string `json:"subdomain"`
	Username   string `json:"username"`
	Password   string `json:"password"`
}

func (p *acmedns) account(ctx context.Context, name string) (acmednsAccount, error) {
	all := map[string]acmednsAccount{}
	if p.store != nil {
		if err := p.store.call(ctx, http.MethodGet, "", nil, &all); err != nil {
			return acmednsAccount{}, err
		}
	} else {
		f, err := os.Open(p.path)
		if err != nil {
			return acmednsAccount{}, invalid("read the acme-dns accounts: " + err.Error())
		}
		defer func() { _ = f.Close() }()
		if json.NewDecoder(io.LimitReader(f, maxBody)).Decode(&all) != nil {
			return acmednsAccount{}, invalid("the file of acme-dns accounts, " + p.path + ", is not JSON of accounts by domain")
		}
	}
	for _, a := range all {
		if strings.EqualFold(strings.TrimSuffix(a.FullDomain, "."), name) {
			return a, nil
		}
	}
	if a, ok := all[strings.TrimPrefix(name, "_acme-challenge.")]; ok && strings.HasPrefix(name, "_acme-challenge.") {
		return acmednsAccount{}, &assure.Trouble{
			Reason: assure.DelegationBroken, Class: assure.TroubleMissing, Scope: name,
			Detail: "there is an acme-dns account for " + name + ", but the name is no alias of its record",
			Remedy: fmt.Sprintf("Add the record %s. CNAME %s.", name, strings.TrimSuffix(a.FullDomain, ".")),
		}
	}
	return acmednsAccount{}, &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleMissing, Scope: name,
		Detail: "no stored acme-dns account writes at " + name,
		Remedy: "Register an account at the acme-dns server, store it, and make the challenge's name an alias (CNAME) of its record",
	}
}

func (p *acmedns) present(ctx context.Context, name, value string) error {
	if len(value) != 43 {
		return invalid("acme-dns takes only values of 43 characters of base64url")
	}
	a, err := p.account(ctx, name)
	if err != nil {
		return err
	}
	q := *p.api
	q.sign = func(r *http.Request, _ []byte) error {
		r.Header.Set("X-Api-User", a.Username)
		r.Header.Set("X-Api-Key", a.Password)
		return nil
	}
	err = q.call(ctx, http.MethodPost, "/update", map[string]string{"subdomain": a.SubDomain, "txt": value}, nil)
	if t := troubleIn(err); t != nil {
		t.Identity, t.Detail = a.Username, strings.ReplaceAll(t.Detail, a.Password, "***")
	}
	return err
}

// withdraw does nothing: acme-dns keeps the last two values.
func (p *acmedns) withdraw(context.Context, string, string) error { return nil }

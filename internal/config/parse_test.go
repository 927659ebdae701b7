package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const small = `certificates:
  - name: web
    endpoints: [example.com]
channels:
  ops: {webhook: {url: "https://hooks.example.com/x", secret: "env:HOOK"}}
`

const full = `# everything at once
certificates:
  - name: hosted-eu
    names: [eu.example.com, "*.eu.example.com", 192.0.2.1]
    endpoints:
      - eu.example.com:443
      - smtp://mail.eu.example.com:587
      - target: inside.eu.example.com:8443@192.0.2.7
        client_certificate: {cert: client.pem, key: /etc/keys/client.key}
        every: 1m
    renewer: none
    route: sre
    owner: Platform team
    time_to_repair: 1d
    every: 5m
    issued: live/fullchain.pem
  - name: blog
    endpoints: [blog.example.com]
renewers:
  letsencrypt:
    acme: {directory: "https://acme.example.com/dir", staging: "https://staging.example.com/dir", email: a@example.com, profile: shortlived}
    dns: {azure: {subscription: 5b000000-0000-4000-8000-000000000001, resource_group: g, zone: example.com}}
    install: [{files: {fullchain: /etc/tls/c.pem, key: /etc/tls/k.pem}, reload: [systemctl, reload, nginx]}]
  cluster: {cert_manager: {kubeconfig: kube.yaml}}
channels:
  hook: {webhook: {url: "https://hooks.example.com/x", secret: "env:HOOK"}}
  chat: {slack: {url: "env:SLACK"}}
  mail: {smtp: {server: mail.example.com, from: notafter@example.com, to: [ops@example.com], user: u, password: "file:mail.pw"}}
  pager: {pagerduty: {routing_key: "env:PD"}}
  am: {alertmanager: {urls: ["http://am-0:9093", "http://am-1:9093"], labels: {team: sre}}}
  push: {pushover: {token: "env:PT", user: "env:PU"}}
  ntfy: {ntfy: {topic: alerts, token: "env:NT"}}
routes:
  sre: {mode: own, channels: [pager, mail, chat, am, push, ntfy, hook]}
  low: {mode: defer, channels: [chat]}
default_route: low
monitor: {route: sre, heartbeat: {url: "env:HEART", every: 2m}, control: true}
state: env:DSN
listen: 0.0.0.0:8710
base_url: https://notafter.example.com
sign_in:
  users: [{name: ana, password_hash: "file:ana.hash"}]
  oidc: {issuer: "https://id.example.com", client_id: x, client_secret: "env:OIDC", allow_domains: [example.com]}
metrics: {otlp: "http://127.0.0.1:4318"}
trust: [roots.pem, /etc/more.pem]
dns: {servers: [192.0.2.53, "[2001:db8::53]:5353", "2001:db8::54"]}
every: 10m
timeout: 5s
concurrency: 100
time_to_repair: 8h
confirm: 0
gather: 30s
clear: 3
revocation: full
without_sni: true
`

func problems(t *testing.T, text string) []string {
	t.Helper()
	c, err := Parse("dir/notafter.yaml", []byte(text))
	if err == nil {
		return nil
	}
	if c != nil {
		t.Error("a configuration was returned along with problems")
	}
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatalf("the error is a %T, not *Problems", err)
	}
	return strings.Split(err.Error(), "\n")
}

func TestFullFileIsReadAsWritten(t *testing.T) {
	c, err := Parse("/etc/notafter/notafter.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	cert := c.Certificates[0]
	if got := cert.Endpoints[2]; got.Target.String() != "inside.eu.example.com:8443@192.0.2.7" || got.Every.Std() != time.Minute ||
		got.ClientCertificate.Cert != "/etc/notafter/client.pem" || got.ClientCertificate.Key != "/etc/keys/client.key" {
		t.Errorf("mapping endpoint read as %+v", got)
	}
	if cert.Issued != "/etc/notafter/live/fullchain.pem" || cert.TimeToRepair.Std() != 24*time.Hour {
		t.Errorf("certificate read as %+v", cert)
	}
	if c.Certificates[1].Route != "low" {
		t.Errorf("a certificate without route got %q, not the default route", c.Certificates[1].Route)
	}
	if fmt.Sprint(c.Trust) != "[/etc/notafter/roots.pem /etc/more.pem]" || c.Trust.Named() != "" {
		t.Errorf("trust read as %v", c.Trust)
	}
	if got := fmt.Sprint(c.DNS.Servers); got != "[192.0.2.53:53 [2001:db8::53]:5353 [2001:db8::54]:53]" {
		t.Errorf("dns servers read as %s", got)
	}
	if c.Confirm != 0 || c.Gather.Std() != 30*time.Second || c.Clear != 3 || c.Revocation != RevocationFull || !c.WithoutSNI || c.Concurrency != 100 {
		t.Errorf("numbers read as %+v", c)
	}
	if got := c.Channels["mail"].Kind(); got != "smtp" {
		t.Errorf("the mail channel is of kind %q", got)
	}
	if got := c.Channels["mail"].SMTP.Password.Reference(); got != "file:/etc/notafter/mail.pw" {
		t.Errorf("a secret's relative path became %q", got)
	}
	if got := c.Renewers["cluster"].CertManager.Kubeconfig; got != "/etc/notafter/kube.yaml" {
		t.Errorf("kubeconfig read as %q", got)
	}
	if got := c.ClientCertificates(); len(got) != 1 || got["inside.eu.example.com:8443@192.0.2.7"].Key != "/etc/keys/client.key" {
		t.Errorf("client certificates are %v", got)
	}
	if got := fmt.Sprint(c.RouteChannels()["sre"]); got != "[pager mail chat am push ntfy hook]" {
		t.Errorf("the route's channels are %s, not in the order of the file", got)
	}
}

func TestSmallFileGetsDefaults(t *testing.T) {
	c, err := Parse("notafter.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8710" || c.Every.Std() != 15*time.Minute || c.Trust.Named() != TrustSystem || !c.Monitor.Control ||
		c.Revocation != RevocationLeaf || c.BaseURL != "http://127.0.0.1:8710" || c.TimeToRepair.Std() != 12*time.Hour {
		t.Errorf("defaults are %+v", c)
	}
	if c.DefaultRoute != "default" || fmt.Sprint(c.Routes["default"].Channels) != "[ops]" || c.Certificates[0].Route != "default" || c.Monitor.Route != "default" {
		t.Errorf("the implied route is %+v, default %q", c.Routes, c.DefaultRoute)
	}
	var heart bool
	for _, n := range c.Notes() {
		heart = heart || strings.Contains(n.Text, "heartbeat")
	}
	if !heart {
		t.Errorf("nothing warns that there is no heartbeat: %v", c.Notes())
	}
}

// Each case changes the small file in one way and says which lines must come out, and no others.
func TestProblemsNamePlaceAndRemedy(t *testing.T) {
	with := func(more string) string { return small + more }
	cases := map[string]struct {
		text string
		want []string // in the order of the file; each line must begin with dir/notafter.yaml: and hold this
	}{
		"an empty file":                                  {"", []string{": the file is empty"}},
		"only a comment":                                 {"# later\n", []string{": the file is empty"}},
		"a list":                                         {"- a\n", []string{":1:1: want a mapping"}},
		"no certificates":                                {"channels:\n  a: {slack: {url: 'env:X'}}\n", []string{"certificates: nothing to watch"}},
		"an empty list of certificates":                  {"certificates: []\nchannels:\n  a: {slack: {url: 'env:X'}}\n", []string{":1:1: certificates: nothing to watch"}},
		"no channels":                                    {"certificates:\n  - {name: a, endpoints: [a.example]}\n", []string{"channels: nobody to tell"}},
		"a misspelt key":                                 {with("tiemout: 5s\n"), []string{`:6:1: unknown key "tiemout" (did you mean "timeout"?)`}},
		"part of a key":                                  {with("sign_in: {users: [{name: a, password: env:X}]}\n"), []string{"is missing", `sign_in.users[0]: unknown key "password" (did you mean "password_hash"?)`}},
		"a misspelt key deep inside":                     {with("monitor:\n  heartbeat:\n    url: env:X\n    evry: 5s\n"), []string{`:9:5: monitor.heartbeat: unknown key "evry" (did you mean "every"?)`}},
		"a key given twice":                              {with("timeout: 5s\ntimeout: 6s\n"), []string{`:7:1: the key "timeout" is given twice, first on line 6`}},
		"a key without value":                            {with("routes:\n"), []string{"routes: has no value"}},
		"a number where text is due":                     {with("listen: 8710\n"), []string{":6:9: listen: want text, not a number; put it in quotes"}},
		"text where a number is due":                     {with("clear: two\n"), []string{":6:8: clear: want a whole number, not text"}},
		"a duration without unit":                        {with("every: 15\n"), []string{`:6:8: every: want a duration with a unit`}},
		"a time to repair without unit":                  {with("time_to_repair: 12\n"), []string{`:6:17: time_to_repair: want a duration with a unit`}},
		"the same of one certificate":                    {strings.Replace(small, "name: web", "name: web\n    time_to_repair: 12\n    every: 5", 1), []string{`:3:21: certificates[0].time_to_repair: want a duration`, `:4:12: certificates[0].every: want a duration`}},
		"a duration that is none":                        {with("every: soon\n"), []string{`:6:8: every: "soon" is not a duration`}},
		"a negative duration":                            {with("every: -5m\n"), []string{`:6:8: every: "-5m" is not a duration`}},
		"too often":                                      {with("every: 1s\n"), []string{":6:8: every: 1s is too short: want at least 10s"}},
		"a bad choice":                                   {with("revocation: all\n"), []string{":6:13: revocation: \"all\" is not possible: want one of off, leaf, full"}},
		"a secret in clear text":                         {strings.Replace(small, "env:HOOK", "hunter2", 1), []string{":5:63: channels.ops.webhook.secret: must be a reference, env:NAME or file:PATH, and not the secret itself"}},
		"a number as a secret":                           {strings.Replace(small, `"env:HOOK"`, "12345", 1), []string{"channels.ops.webhook.secret: must be a reference"}},
		"a password in an address":                       {strings.Replace(small, "https://hooks", "https://u:hunter2@hooks", 1), []string{"channels.ops.webhook.url: holds a user or password; write the whole address by reference"}},
		"a database written out":                         {with("state: postgres://u:hunter2@db/x\n"), []string{":6:8: state: must be a directory, or a reference"}},
		"a bad target":                                   {strings.Replace(small, "[example.com]", "[example.com, 'htp://x', 'a:b:c']", 1), []string{`certificates[0].endpoints[1]: target "htp://x": unknown scheme`, `certificates[0].endpoints[2]: target "a:b:c"`}},
		"a target listed twice":                          {strings.Replace(small, "[example.com]", "[example.com, 'tls://EXAMPLE.com:443']", 1), []string{`:3:30: certificates[0].endpoints[1]: the endpoint "example.com" is listed twice`}},
		"no endpoint":                                    {strings.Replace(small, "[example.com]", "[]", 1), []string{"certificates[0].endpoints: nothing to watch"}},
		"endpoints left out":                             {strings.Replace(small, "    endpoints: [example.com]\n", "", 1), []string{`:2:5: certificates[0]: the key "endpoints" is missing`}},
		"one name twice":                                 {strings.Replace(small, "channels:", "  - {name: web, endpoints: [b.example.com]}\nchannels:", 1), []string{`:4:12: certificates[1].name: the name "web" is taken already by certificates[0]`}},
		"a name with a slash":                            {strings.Replace(small, "name: web", "name: a/b", 1), []string{"certificates[0].name: the name holds a slash"}},
		"a route that is not there":                      {strings.Replace(small, "name: web", "name: web\n    route: defalt", 1), []string{`:3:12: certificates[0].route: no route "defalt" is declared (did you mean "default"?)`}},
		"a channel that is not there":                    {with("routes: {sre: {channels: [obs]}}\n"), []string{`:6:27: routes.sre.channels[0]: no channel "obs" is declared (did you mean "ops"?)`}},
		"a route that tells nobody":                      {with("routes: {sre: {channels: []}}\n"), []string{"routes.sre.channels: nobody to tell"}},
		"several routes and no default":                  {with("routes: {a: {channels: [ops]}, b: {channels: [ops]}}\n"), []string{"routes: there are several"}},
		"a schedule":                                     {with("routes: {sre: {oncall: platform, channels: [ops]}}\n"), []string{`routes.sre.oncall: no schedule "platform" is declared`}},
		"a backstop":                                     {with("routes: {sre: {mode: backstop, channels: [ops]}}\n"), []string{"routes.sre.mode: this version cannot"}},
		"a channel of no kind":                           {with("  b: {}\n"), []string{"channels.b: says nothing; want one of webhook, slack"}},
		"a channel of two kinds":                         {with("  b: {slack: {url: 'env:A'}, ntfy: {topic: x}}\n"), []string{"channels.b: is of more than one kind"}},
		"a channel of an unknown kind":                   {with("  b: {slak: {url: 'env:A'}}\n"), []string{`channels.b: unknown key "slak" (did you mean "slack"?)`}},
		"a renewer that lacks what it needs":             {strings.Replace(small, "name: web", "name: web\n    renewer: le", 1) + "renewers: {le: {acme: {directory: 'https://a.example'}}}\n", []string{`:2:5: certificates[0].names: names are needed with a renewer`, `:7:12: renewers.le: dns is needed: the challenge dns-01 writes a TXT record`}},
		"a renewer that is not declared":                 {strings.Replace(small, "name: web", "name: web\n    renewer: le", 1), []string{`certificates[0].renewer: no renewer "le" is declared`}},
		"a cert-manager cannot be named yet":             {strings.Replace(small, "name: web", "name: web\n    renewer: k", 1) + "renewers: {k: {cert_manager: {}}}\n", []string{`certificates[0].renewer: renewer "k" is a cert-manager`}},
		"a wildcard by http-01":                          {renewed(`"*.example.com"`, "acme: {directory: 'https://a.example', challenge: http-01}"), []string{`certificates[0].names[0]: a wildcard can only be shown by a challenge that begins with dns`}},
		"an IP address by dns-01":                        {renewed("192.0.2.1", "acme: {directory: 'https://a.example'}, dns: {rfc2136: {server: ns1, key: k, secret: 'env:TSIG'}}"), []string{`certificates[0].names[0]: an IP address cannot be shown by dns-01`}},
		"two ways to write DNS":                          {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {rfc2136: {server: ns1, key: k, secret: 'env:TSIG'}, lego: {provider: ovh}}"), []string{`renewers.r.dns: exactly one of azure, rfc2136 and lego is needed`}},
		"a rehearsal at the authority in service":        {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://a.example'}, dns: {rfc2136: {server: ns1, key: k, secret: 'env:TSIG'}}"), []string{`renewers.r.acme.staging: is the directory itself`}},
		"a shadow where the real one is":                 {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, install: [{files: {key: /k}}], rehearse: {shadow: [{files: {key: /k}}]}"), []string{`renewers.r.rehearse.shadow[0].files.key: is where the certificate in service goes`}},
		"a shadow directory where the real one is":       {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, install: [{directory: '/d/{certificate}'}], rehearse: {shadow: [{directory: /d/web}]}"), []string{`renewers.r.rehearse.shadow[0].directory: is where the certificate in service goes`}},
		"a shadow file within the real directory":        {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, install: [{directory: '/d/{certificate}'}], rehearse: {shadow: [{files: {fullchain: /s/f, key: /d/web/current/privkey.pem}}]}"), []string{`renewers.r.rehearse.shadow[0].files.key: is where the certificate in service goes`}},
		"a shadow directory around the real file":        {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, install: [{files: {key: /d/current/k}}], rehearse: {shadow: [{directory: /d}]}"), []string{`renewers.r.rehearse.shadow[0].directory: is where the certificate in service goes`}},
		"a shadow where a certificate's own goes":        {strings.Replace(renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, rehearse: {shadow: [{files: {key: /k}}]}"), "renewer: r\n    names", "renewer: r\n    install: [{files: {key: /k}}]\n    names", 1), []string{`renewers.r.rehearse.shadow[0].files.key: is where the certificate in service goes`}},
		"a shadow in the secret in service":              {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, install: [{kubernetes: {namespace: n, name: '{certificate}'}}], rehearse: {shadow: [{kubernetes: {namespace: n, name: web}}]}"), []string{`renewers.r.rehearse.shadow[0].kubernetes: is where the certificate in service goes`}},
		"a shadow by the webhook in service":             {renewed("a.example", "acme: {directory: 'https://a.example', staging: 'https://b.example'}, dns: {lego: {provider: ovh}}, install: [{webhook: {url: 'env:U', secret: 'env:S'}}], rehearse: {shadow: [{webhook: {url: 'env:U', secret: 'env:S'}}]}"), []string{`renewers.r.rehearse.shadow[0].webhook: is where the certificate in service goes`}},
		"two certificates in one secret":                 {strings.Replace(renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{kubernetes: {namespace: n, name: s}}]"), "certificates:\n", "certificates:\n  - {name: other, names: [b.example], renewer: r, endpoints: [b.example]}\n", 1), []string{`renewers.r.install[0].kubernetes.name: the certificates "other" and "web" would be written to the same place`}},
		"two things in one file":                         {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{files: {key: /k}}, {files: {fullchain: /k}}]"), []string{`renewers.r.install[1].files.fullchain: two things would be written to "/k"`}},
		"a subscription by its name":                     {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {azure: {subscription: Production, resource_group: g, zone: a.example}}"), []string{`renewers.r.dns.azure.subscription: "Production" is not the id of a subscription: want a GUID`}},
		"a name that no certificate can be for":          {renewed("_x.a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}"), []string{`certificates[0].names[0]: "_x.a.example" cannot be on a certificate`}},
		"a record that is remembered for days":           {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}, ttl: 2d}"), []string{`renewers.r.dns.ttl: 2d is too long`}},
		"a rung without what it needs":                   {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, rehearse: {authorization: 1h, full: 1h}"), []string{`renewers.r.rehearse.authorization: acme.staging is needed`, `renewers.r.rehearse.full: `, `renewers.r.rehearse.full: `}},
		"a key that everybody may read":                  {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{files: {key: {path: /k, mode: '0644'}}}]"), []string{`renewers.r.install[0].files.key.mode: lets everybody on the machine at the private key`}},
		"an unknown kind of file":                        {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{files: {fulchain: /k}}]"), []string{`renewers.r.install[0].files.fulchain: unknown kind of file "fulchain" (did you mean "fullchain"?)`}},
		"PKCS#12 without a password":                     {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{files: {pkcs12: /k}}]"), []string{`renewers.r.install[0].files.pkcs12: pkcs12_password is needed`}},
		"a private key in clear":                         {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{webhook: {url: 'http://a.example/', secret: 'env:S', with_key: true}}]"), []string{`renewers.r.install[0].webhook.with_key: the address must be https`}},
		"two certificates in one file":                   {strings.Replace(renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{files: {key: /k}}]"), "certificates:\n", "certificates:\n  - {name: other, names: [b.example], renewer: r, endpoints: [b.example]}\n", 1), []string{`renewers.r.install[0].files.key: the certificates "other" and "web" would be written to the same place`}},
		"two certificates in one directory of their own": {strings.Replace(strings.Replace(renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}"), "certificates:\n", "certificates:\n  - {name: other, names: [b.example], renewer: r, endpoints: [b.example], install: [{directory: /d}]}\n", 1), "renewer: r\n    names", "renewer: r\n    install: [{directory: /d}]\n    names", 1), []string{`certificates[1].install[0].directory: the certificates "other" and "web" would be written to the same place`}},
		"an unknown placeholder":                         {renewed("a.example", "acme: {directory: 'https://a.example'}, dns: {lego: {provider: ovh}}, install: [{directory: '/d/{certificat}'}]"), []string{`renewers.r.install[0]: "/d/{certificat}" holds braces that are not {certificate}`}},
		"an authority in clear":                          {renewed("a.example", "acme: {directory: 'http://a.example'}, dns: {lego: {provider: ovh}}"), []string{`renewers.r.acme.directory: must be https`}},
		"a way to install without a renewer":             {strings.Replace(small, "name: web", "name: web\n    install: [{files: {key: /k}}]", 1), []string{`certificates[0].install: belongs to a certificate with a renewer`}},
		"listening to the world":                         {with("listen: 0.0.0.0:8710\n"), []string{`:6:9: listen: "0.0.0.0:8710" is reachable from other machines, which needs sign_in`}},
		"listening on every interface":                   {with("listen: ':8710'\n"), []string{"is reachable from other machines"}},
		"listening on no port":                           {with("listen: localhost\n"), []string{"listen: \"localhost\" is not host:port"}},
		"everybody may sign in":                          {with("base_url: https://n.example\nsign_in: {oidc: {issuer: 'https://id.example', client_id: x, client_secret: 'env:S'}}\n"), []string{"sign_in.oidc: allow_domains or allow_groups is needed"}},
		"sign-in without a way back":                     {with("sign_in: {oidc: {issuer: 'https://id.example', client_id: x, client_secret: 'env:S', allow_groups: [a]}}\n"), []string{"sign_in.oidc: base_url is needed"}},
		"mail in clear text":                             {with("  m: {smtp: {server: mail.example, from: a@b.example, to: [c@d.example], tls: none}}\n"), []string{"channels.m.smtp.tls: none would send mail"}},
		"a mail address that is none":                    {with("  m: {smtp: {server: mail.example, from: nobody, to: [c@d.example]}}\n"), []string{"channels.m.smtp.from: \"nobody\" is not a mail address"}},
		"a user without password":                        {with("  m: {smtp: {server: mail.example, from: a@b.example, to: [c@d.example], user: u}}\n"), []string{"channels.m.smtp: user and password go together"}},
		"a heartbeat without address":                    {with("monitor: {heartbeat: {every: 1m}}\n"), []string{`monitor.heartbeat: the key "url" is missing`}},
		"roots of two kinds":                             {with("trust: [system, x.pem]\n"), []string{`trust[0]: "system" stands alone`}},
		"a resolver by name":                             {with("dns: {servers: [dns.example]}\n"), []string{`dns.servers[0]: "dns.example" is not the IP address`}},
		"a tab":                                          {strings.Replace(small, "    endpoints", "\tendpoints", 1), []string{":3:1: not valid YAML: the line is indented with a tab"}},
		"a wildcard without quotes":                      {strings.Replace(small, "name: web", "name: web\n    names: [*.b.example]", 1), []string{`certificates[0].names[0]: the alias "*.b.example" has no anchor before it; text that begins with * needs quotes`}},
		"text where a list is due":                       {strings.Replace(small, "[example.com]", "example.com", 1), []string{":3:16: certificates[0].endpoints: want a list, not text"}},
		"a name that breaks the line":                    {with("  \"b\\n\\e[31m\": {slack: {}}\n"), []string{`channels."b\n\x1b[31m": the name holds a slash or an unprintable character`, `channels."b\n\x1b[31m".slack: the key "url" is missing`}},
		"an alias without anchor":                        {with("timeout: *t\n"), []string{`timeout: the alias "*t" has no anchor`}},
		"a tag":                                          {with("timeout: !!str 5s\n"), []string{"timeout: tags such as"}},
		"a second document":                              {with("---\ntimeout: 5s\n"), []string{"a second YAML document begins here"}},
		"broken YAML":                                    {with("routes: {a: [\n"), []string{"not valid YAML"}},
		"several things at once, all of them":            {with("every: soon\nlisten: ':1'\nfoo: 1\n"), []string{":6:8: every:", ":7:9: listen:", ":8:1: unknown key \"foo\""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := problems(t, c.text)
			if len(got) != len(c.want) {
				t.Fatalf("got %d lines, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, line := range got {
				if !strings.HasPrefix(line, "dir/notafter.yaml:") || !strings.Contains(line, c.want[i]) {
					t.Errorf("line %d is\n  %s\nwant it to hold\n  %s", i+1, line, c.want[i])
				}
				if strings.Contains(line, "hunter2") {
					t.Errorf("a secret is repeated: %s", line)
				}
			}
		})
	}
}

func TestAliasesAndMergeKeys(t *testing.T) {
	c, err := Parse("n.yaml", []byte(`certificates:
  - &base
    name: a
    owner: &who Ana
    endpoints: [a.example]
  - <<: *base
    name: b
    endpoints: [b.example]
channels:
  x: {slack: {url: "env:X"}}
default_route: default
`))
	if err != nil {
		t.Fatal(err)
	}
	b := c.Certificates[1]
	if b.Name != "b" || b.Owner != "Ana" || len(b.Endpoints) != 1 || b.Endpoints[0].Target.Host != "b.example" {
		t.Errorf("merged certificate is %+v", b)
	}
}

func TestHostileFilesStayCheap(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	bomb.WriteString("trust: *a11\n")
	for name, text := range map[string]string{
		"brackets":       strings.Repeat("[", 300_000),
		"braces":         strings.Repeat("{a: ", 100_000),
		"dashes":         strings.Repeat("- ", 200_000) + "x",
		"question marks": strings.Repeat("? ", 100_000) + "x",
		"steps": func() string {
			var b strings.Builder
			for i := range 3000 {
				fmt.Fprintf(&b, "%s- \n", strings.Repeat(" ", i))
			}
			return b.String()
		}(),
		"aliases":         "trust: &t [a.pem]\ncertificates: " + bomb.String(),
		"alias in itself": "trust: &t [*t]\n",
		"merge keys": func() string {
			b := "certificates:\n- &m0 {" + strings.Join(numbered(200, "k%d: 1"), ", ") + "}\n"
			for i := range 9 {
				b += fmt.Sprintf("- &m%d {<<: [%s]}\n", i+1, strings.Join(slices.Repeat([]string{fmt.Sprintf("*m%d", i)}, 100), ", "))
			}
			return b
		}(),
		"too large": strings.Repeat("#", maxFile+1),
		"binary":    "\x00\x01\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			if problems(t, text) == nil {
				t.Error("was accepted")
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func numbered(n int, format string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return out
}

// A file that needs more than its budget is refused, whatever it was that used the budget up: what is left out in
// silence is not watched.
func TestSpentBudgetIsSaid(t *testing.T) {
	text := "certificates:\n- &m0 {name: a, endpoints: [a.example]}\n"
	for i := range 8 {
		text += fmt.Sprintf("- &m%d {<<: [%s], name: b%d}\n", i+1, strings.Join(slices.Repeat([]string{fmt.Sprintf("*m%d", i)}, 10), ", "), i)
	}
	text += "- {name: last, endpoints: [last.example]}\nchannels: {x: {slack: {url: 'env:X'}}}\n"
	if got := problems(t, text); !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, "once its aliases are followed") }) {
		t.Errorf("problems: %v", got)
	}
}

func TestLargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a file of 30,000 endpoints")
	}
	var b strings.Builder
	b.WriteString("channels: {x: {slack: {url: 'env:X'}}}\ncertificates:\n")
	for i := range 30_000 {
		fmt.Fprintf(&b, "  - {name: c%d, endpoints: [host%d.example.com]}\n", i, i)
	}
	began := time.Now()
	c, err := Parse("n.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes in %s", b.Len(), time.Since(began))
	if got := len(c.ServingClaims(time.Unix(0, 0))); got != 30_000 {
		t.Errorf("%d claims", got)
	}
}

func TestByteOrderMarkAndWindowsLines(t *testing.T) {
	if _, err := Parse("n.yaml", []byte("\ufeff"+strings.ReplaceAll(small, "\n", "\r\n"))); err != nil {
		t.Error(err)
	}
	if got := problems(t, "\ufeff"+strings.ReplaceAll(small, "\n", "\r\n")+"foo: 1\r\n"); len(got) != 1 || !strings.Contains(got[0], `:6:1: unknown key "foo"`) {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{small, full, "a: &a [*a]", "<<: {a: b}", "? [a]\n: b", "!!binary x", "a: |\n  x\n", "certificates: {}\n", "---\n...\n", "a: 'b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		c, err := Parse("n.yaml", data)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%d bytes took %s", len(data), took)
		}
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v, error %v", c, err)
		}
		if err != nil {
			var p *Problems
			if !errors.As(err, &p) || len(p.List) == 0 {
				t.Fatalf("error %T %v without problems", err, err)
			}
			for _, one := range p.List {
				if strings.ContainsAny(one.String(), "\n\r\x1b") {
					t.Fatalf("a problem is not one clean line: %q", one.String())
				}
			}
			return
		}
		if len(c.Claims(time.Unix(0, 0))) < 2 || len(c.Channels) == 0 || len(c.Routes) == 0 {
			t.Fatalf("accepted with nothing to watch or nobody to tell: %+v", c)
		}
		for name, r := range c.Routes {
			for _, ch := range r.Channels {
				if _, ok := c.Channels[ch]; !ok {
					t.Fatalf("route %s leads to channel %q, which is not there", name, ch)
				}
			}
		}
	})
}

// renewed is a file whose one certificate holds the given name and has a renewer.
func renewed(name, renewer string) string {
	return strings.Replace(small, "name: web", "name: web\n    renewer: r\n    names: ["+name+"]", 1) + "renewers: {r: {" + renewer + "}}\n"
}

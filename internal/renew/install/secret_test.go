package install

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/notafter/notafter/internal/assure"
)

const bearer = "token-of-the-service-account"

// apiServer stands in for the part of a Kubernetes API server that applies secrets. It enforces what the real one does:
// the token, the kind of patch, strict fields, and who owns them.
type apiServer struct {
	*httptest.Server
	mu      sync.Mutex
	secrets map[string]secret
	owner   map[string]string
	asked   int
	// next are answers given instead of the usual one, in turn. Those with do set apply first: failed but happened.
	next []canned
}

type canned struct {
	status int // 0 hangs up
	header map[string]string
	body   string
	do     bool
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{secrets: map[string]secret{}, owner: map[string]string{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) cluster() Cluster {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return Cluster{Server: s.URL, CA: ca, Token: bearer, Who: "the service account", Namespace: "web"}
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	var c canned
	if len(s.next) > 0 {
		c, s.next = s.next[0], s.next[1:]
		if c.do {
			s.apply(httptest.NewRecorder(), r)
		}
		if c.status == 0 {
			panic(http.ErrAbortHandler)
		}
		for k, v := range c.header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(c.status)
		fmt.Fprint(w, c.body)
		return
	}
	s.apply(w, r)
}

func refuse(w http.ResponseWriter, code int, reason, message string, causes ...map[string]string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": map[string]any{"causes": causes},
	})
}

func (s *apiServer) apply(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	byCert := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	if !byCert && r.Header.Get("Authorization") != "Bearer "+bearer {
		refuse(w, 401, "Unauthorized", "Unauthorized")
		return
	}
	if r.Method != http.MethodPatch || r.Header.Get("Content-Type") != "application/apply-patch+yaml" || r.URL.Query().Get("fieldManager") == "" {
		refuse(w, 415, "UnsupportedMediaType", "this is no apply")
		return
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	var in secret
	if err := d.Decode(&in); err != nil || r.URL.Path != "/api/v1/namespaces/"+in.Metadata.Namespace+"/secrets/"+in.Metadata.Name {
		refuse(w, 400, "BadRequest", "the object is not what the address says")
		return
	}
	switch in.Metadata.Namespace {
	case "kube-system":
		refuse(w, 403, "Forbidden", fmt.Sprintf(`secrets %q is forbidden: User "system:serviceaccount:web:notafter" cannot patch resource "secrets" in API group "" in the namespace "kube-system"`, in.Metadata.Name))
		return
	case "ending":
		refuse(w, 403, "Forbidden", `secrets "x" is forbidden: unable to create new content in namespace ending because it is being terminated`)
		return
	case "web":
	default:
		refuse(w, 404, "NotFound", fmt.Sprintf("namespaces %q not found", in.Metadata.Namespace))
		return
	}
	manager, old, there := r.URL.Query().Get("fieldManager"), s.owner[in.Metadata.Name], false
	_, there = s.secrets[in.Metadata.Name]
	if old != "" && old != manager && r.URL.Query().Get("force") != "true" {
		refuse(w, 409, "Conflict", fmt.Sprintf("Apply failed with 1 conflict: conflict with %q: .data.tls.crt", old),
			map[string]string{"reason": "FieldManagerConflict", "field": ".data.tls.crt"})
		return
	}
	if there && s.secrets[in.Metadata.Name].Type != in.Type {
		refuse(w, 422, "Invalid", `Secret "x" is invalid: type: Invalid value: "kubernetes.io/tls": field is immutable`)
		return
	}
	s.secrets[in.Metadata.Name], s.owner[in.Metadata.Name] = in, manager
	if !there {
		w.WriteHeader(http.StatusCreated)
	}
	_ = json.NewEncoder(w).Encode(in)
}

// newSecret makes an installer that does not really wait, and notes how long it would have.
func newSecret(t *testing.T, o SecretOptions) (*KubernetesSecret, *[]time.Duration) {
	t.Helper()
	o.Now = newNow()
	if o.Name == "" {
		o.Name = "tls"
	}
	k, err := NewKubernetesSecret(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.CloseIdleConnections)
	waited := &[]time.Duration{}
	k.wait = func(ctx context.Context, d time.Duration) error { *waited = append(*waited, d); return ctx.Err() }
	return k, waited
}

func TestSecretHoldsThePair(t *testing.T) {
	t.Parallel()
	s, a, b := newAPIServer(t), issue(), issue()
	k, _ := newSecret(t, SecretOptions{
		Cluster: s.cluster(), Name: "tls-{certificate}", Labels: map[string]string{"app": "web"}, CA: true, KeystorePassword: "changeit",
	})
	steps, err := k.Install(t.Context(), "*.Example.com", a.chain, a.key)
	if err != nil {
		t.Fatal(err)
	}
	wantSteps(t, steps, "match done, install done")
	if steps, err = k.Install(t.Context(), "*.Example.com", b.chain, b.key); err != nil {
		t.Fatal(err)
	}
	name := "tls-" + SecretName("*.Example.com")
	if steps[1].Target != "secret web/"+name {
		t.Errorf("target %s", steps[1].Target)
	}
	got := s.secrets[name]
	p := must(parsePair(b.chain, b.key))
	if string(got.Data["tls.crt"]) != string(b.chain) || string(got.Data["tls.key"]) != string(b.key) || string(got.Data["ca.crt"]) != string(p.chainPEM) ||
		got.Type != "kubernetes.io/tls" || got.Metadata.Labels["app"] != "web" {
		t.Errorf("the secret is %+v", got.Metadata)
	}
	if _, leaf, _, err := pkcs12.DecodeChain(got.Data["keystore.p12"], "changeit"); err != nil || !leaf.Equal(b.leaf) {
		t.Errorf("the keystore does not hold the leaf: %v", err)
	}
	// A mismatch is not even sent.
	before := s.asked
	steps, err = k.Install(t.Context(), "web", a.chain, b.key)
	wantTrouble(t, err, assure.TroubleInvalid)
	wantSteps(t, steps, "match failed")
	if s.asked != before {
		t.Error("a mismatch was sent")
	}
}

func TestSecretRefusalsSayWhoMayNotDoWhatWhere(t *testing.T) {
	t.Parallel()
	a := issue()
	for name, c := range map[string]struct {
		change   func(*SecretOptions, *apiServer)
		class    assure.TroubleClass
		words    string
		identity string
		asked    int
	}{
		"an old token":          {func(o *SecretOptions, _ *apiServer) { o.Cluster.Token = "old-token-of-somebody" }, assure.TroubleExpired, "401", "the service account", 1},
		"no right":              {func(o *SecretOptions, _ *apiServer) { o.Namespace = "kube-system" }, assure.TroubleDenied, "cannot patch", "system:serviceaccount:web:notafter", 1},
		"a namespace that ends": {func(o *SecretOptions, _ *apiServer) { o.Namespace = "ending" }, assure.TroubleForbidden, "terminated", "the service account", 1},
		"a namespace not there": {func(o *SecretOptions, _ *apiServer) { o.Namespace = "slip" }, assure.TroubleMissing, "not found", "the service account", 1},
		"another manager": {func(_ *SecretOptions, s *apiServer) {
			s.owner["tls"], s.secrets["tls"] = "helm", secret{Type: "kubernetes.io/tls"}
		}, assure.TroubleForbidden, "helm", "the service account", 1},
		"another type": {func(_ *SecretOptions, s *apiServer) { s.secrets["tls"] = secret{Type: "Opaque"} }, assure.TroubleInvalid, "immutable", "the service account", 1},
		"a redirect": {func(_ *SecretOptions, s *apiServer) {
			s.next = []canned{{status: 307, header: map[string]string{"Location": "/elsewhere"}}}
		}, assure.TroubleInvalid, "307", "the service account", 1},
		"a long wait asked for": {func(_ *SecretOptions, s *apiServer) {
			s.next = []canned{{status: 429, header: map[string]string{"Retry-After": "3000"}}}
		}, assure.TroubleThrottled, "429", "the service account", 1},
		"an answer that is no yes": {func(_ *SecretOptions, s *apiServer) { s.next = []canned{{status: 200, body: `{"data":{}}`}} }, assure.TroubleBroken, "does not hold", "the service account", 1},
		"a message with the token": {func(_ *SecretOptions, s *apiServer) {
			s.next = []canned{{status: 400, body: `{"message":"you sent ` + bearer + `"}`}}
		}, assure.TroubleInvalid, "hidden", "the service account", 1},
		"a stranger": {func(o *SecretOptions, _ *apiServer) { o.Cluster.CA = a.chain }, assure.TroubleBroken, "", "the service account", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			o := SecretOptions{Cluster: s.cluster()}
			c.change(&o, s)
			k, _ := newSecret(t, o)
			steps, err := k.Install(t.Context(), "web", a.chain, a.key)
			tr := wantTrouble(t, err, c.class, c.words)
			if tr.Identity != c.identity || tr.Action != "patch secrets" || !strings.HasSuffix(tr.Scope, "/tls") {
				t.Errorf("identity %q, action %q, scope %q", tr.Identity, tr.Action, tr.Scope)
			}
			if s.asked != c.asked {
				t.Errorf("asked %d times, want %d", s.asked, c.asked)
			}
			wantSteps(t, steps, "match done, install failed")
			noSecret(t, steps, err, bearer, "old-token-of-somebody", base64.StdEncoding.EncodeToString(a.key))
		})
	}
}

func TestSecretTriesAgainWhatPasses(t *testing.T) {
	t.Parallel()
	a := issue()
	s := newAPIServer(t)
	k, waited := newSecret(t, SecretOptions{Cluster: s.cluster()})
	s.next = []canned{
		{status: 503},
		{status: 429, header: map[string]string{"Retry-After": "7"}},
		{status: 409, body: `{"message":"try again"}`},
		{},
		{do: true},
		{status: 500, do: true},
	}
	if _, err := k.Install(t.Context(), "web", a.chain, a.key); err != nil {
		t.Fatal(err)
	}
	if string(s.secrets["tls"].Data["tls.key"]) != string(a.key) || len(*waited) < 4 || (*waited)[1] != 7*time.Second {
		t.Errorf("waited %v", *waited)
	}
	// Lost answers until the time is up: it may have happened, and that is said.
	for range 50 {
		s.next = append(s.next, canned{do: true})
	}
	k.opts.Deadline = 3 * time.Second
	_, err := k.Install(t.Context(), "web", a.chain, a.key)
	if tr := wantTrouble(t, err, assure.TroubleTransient, "no answer"); !tr.Happened {
		t.Error("it may have happened, and that is not said")
	}
	s.Close()
	_, err = k.Install(t.Context(), "web", a.chain, a.key)
	if tr := wantTrouble(t, err, assure.TroubleTransient); tr.Happened {
		t.Error("nobody was there, so nothing can have happened")
	}
}

func TestSecretTakesOverWhenForced(t *testing.T) {
	t.Parallel()
	s, a := newAPIServer(t), issue()
	s.owner["tls"], s.secrets["tls"] = "helm", secret{Type: "kubernetes.io/tls"}
	k, _ := newSecret(t, SecretOptions{Cluster: s.cluster(), Force: true})
	if _, err := k.Install(t.Context(), "web", a.chain, a.key); err != nil || s.owner["tls"] != "notafter" {
		t.Errorf("owner %s, %v", s.owner["tls"], err)
	}
}

func TestTheTokenOfAPodIsReadAnew(t *testing.T) {
	t.Parallel()
	s, a, dir := newAPIServer(t), issue(), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.crt", string(s.cluster().CA))
	write("token", "old-token-of-the-pod")
	write("namespace", "web")
	host, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	env := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
	c, err := InCluster(func(k string) string { return env[k] }, dir)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := newSecret(t, SecretOptions{Cluster: c})
	_, err = k.Install(t.Context(), "web", a.chain, a.key)
	wantTrouble(t, err, assure.TroubleExpired)
	write("token", bearer+"\n")
	if _, err := k.Install(t.Context(), "web", a.chain, a.key); err != nil {
		t.Error(err)
	}
	if _, err := InCluster(func(string) string { return "" }, dir); err == nil {
		t.Error("a cluster was found where there is none")
	}
	if text := fmt.Sprintf("%v %+v %#v", s.cluster(), s.cluster(), s.cluster()); strings.Contains(text, bearer) {
		t.Errorf("the token shows: %s", text)
	}
}

func kubeconfigText(server, cluster, user string) string {
	return "apiVersion: v1\nkind: Config\ncurrent-context: one\npreferences: {}\n" +
		"contexts: [{name: other, context: {cluster: x, user: y}}, {name: one, context: {cluster: c, user: u, namespace: web}}]\n" +
		"clusters:\n- name: c\n  cluster:\n    server: " + server + "\n" + cluster + "users:\n- name: u\n  user:\n" + user
}

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	s, a, dir := newAPIServer(t), issue(), t.TempDir()
	b64 := base64.StdEncoding.EncodeToString
	ca := "    certificate-authority-data: " + b64(s.cluster().CA) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), s.cluster().CA, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a token":                    kubeconfigText(s.URL, ca, "    token: "+bearer+"\n"),
		"a client certificate":       kubeconfigText(s.URL, ca, "    client-certificate-data: "+b64(a.chain)+"\n    client-key-data: "+b64(a.key)+"\n"),
		"files beside it, and a tab": kubeconfigText(s.URL, "    certificate-authority: ca.pem\n", "    token: "+bearer+"\t\n"),
	} {
		c, err := ParseKubeconfig([]byte(text), dir, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		k, _ := newSecret(t, SecretOptions{Cluster: c})
		if _, err := k.Install(t.Context(), "web", a.chain, a.key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, text := range map[string]string{
		"exec":                        kubeconfigText(s.URL, ca, "    exec: {command: aws, args: [eks]}\n"),
		"auth-provider":               kubeconfigText(s.URL, ca, "    auth-provider: {name: gcp}\n"),
		"user name and password":      kubeconfigText(s.URL, ca, "    username: admin\n    password: "+bearer+"\n"),
		"impersonation":               kubeconfigText(s.URL, ca, "    token: "+bearer+"\n    as: root\n"),
		"insecure":                    kubeconfigText(s.URL, "    insecure-skip-tls-verify: true\n", "    token: "+bearer+"\n"),
		"proxy-url":                   kubeconfigText(s.URL, "    proxy-url: http://x\n", "    token: "+bearer+"\n"),
		"https":                       kubeconfigText("http://api", "", "    token: "+bearer+"\n"),
		"exactly one":                 kubeconfigText(s.URL, ca, "    {}\n"),
		"no such file":                kubeconfigText(s.URL, "    certificate-authority: gone.pem\n", "    token: "+bearer+"\n"),
		"is not base64":               kubeconfigText(s.URL, "    certificate-authority-data: '%'\n", "    token: "+bearer+"\n"),
		"do not belong together":      kubeconfigText(s.URL, ca, "    client-certificate-data: "+b64(a.chain)+"\n    client-key-data: "+b64(issue().key)+"\n"),
		"current-context":             "clusters: []",
		"there is no context":         "current-context: x",
		"anchors":                     "clusters: &a []\nusers: *a",
		"nested too deep":             strings.Repeat("[", 200),
		"line 1 cannot be understood": "users: " + bearer,
	} {
		_, err := ParseKubeconfig([]byte(text), dir, "")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), bearer) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
}

func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte(kubeconfigText("https://x", "", "    token: abc\n")), "")
	f.Add([]byte("clusters: &a [*a]"), "one")
	f.Add([]byte("{{{{"), "")
	f.Add([]byte("- - - - -\n"), "")
	f.Fuzz(func(t *testing.T, b []byte, context string) {
		k, err := decodeKubeconfig(b)
		if err != nil {
			return
		}
		for i := range k.Clusters { // no files are read here
			k.Clusters[i].Cluster.CAFile = ""
		}
		for i := range k.Users {
			k.Users[i].User.CertFile, k.Users[i].User.KeyFile = "", ""
		}
		if c, err := k.pick("/", context); err == nil {
			_, _ = c.connect()
		}
	})
}

func FuzzSecretAnswer(f *testing.F) {
	a := issue()
	p := must(parsePair(a.chain, a.key))
	k := must(NewKubernetesSecret(SecretOptions{Cluster: Cluster{Server: "https://x", Token: bearer}, Namespace: "web", Name: "tls", Now: newNow()}))
	for _, s := range []int{200, 201, 307, 401, 403, 404, 409, 422, 429, 500} {
		f.Add(s, `{"message":"secrets is forbidden: User \"x\" cannot patch","details":{"retryAfterSeconds":-5,"causes":[{"reason":"FieldManagerConflict"}]}}`, "1")
	}
	f.Fuzz(func(t *testing.T, code int, body, after string) {
		err := k.classify(answer{status: code, header: http.Header{"Retry-After": {after}}, body: []byte(body)}, p, bearer)
		if err == nil {
			t.Fatal("an answer without the certificate passes for a yes")
		}
		tr := assure.TroubleOf(err, assure.InstallFailed)
		if len(tr.Detail) > maxDetail || strings.Contains(tr.Detail, bearer) || tr.RetryAfter < 0 || tr.Class == "" {
			t.Errorf("%+v", tr)
		}
	})
}

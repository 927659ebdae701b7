package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// SecretOptions say which TLS secret holds the pair.
type SecretOptions struct {
	Cluster   Cluster
	Namespace string // that of the cluster's configuration when empty
	Name      string // may hold {certificate}; see [SecretName]
	// Labels and Annotations are set on the secret; others on it stay.
	Labels, Annotations map[string]string
	// CA adds ca.crt with what was issued with the leaf, as some controllers want it.
	CA bool
	// KeystorePassword, when set, adds keystore.p12.
	KeystorePassword string
	// FieldManager is under which name the API server notes who owns the fields; "notafter" when empty.
	FieldManager string
	// Force takes fields over that another manager owns, such as a Helm chart that made the secret once. Without it that is
	// trouble: two that renew one secret undo each other's work.
	Force    bool
	Deadline time.Duration // of all attempts together; one minute when zero
	Names    Names         // as in [FilesOptions]
	Now      func() time.Time
}

// KubernetesSecret installs a pair as a secret of the type kubernetes.io/tls. One apply changes the certificate and key together or
// not at all.
type KubernetesSecret struct {
	opts   SecretOptions
	client *http.Client
	wait   pause
}

// NewKubernetesSecret checks the options and asks nobody.
func NewKubernetesSecret(o SecretOptions) (*KubernetesSecret, error) {
	if o.Now == nil {
		return nil, errors.New("the present time is required")
	}
	if o.Namespace == "" {
		o.Namespace = o.Cluster.Namespace
	}
	if o.FieldManager == "" {
		o.FieldManager = "notafter"
	}
	if o.Deadline == 0 {
		o.Deadline = defaultDeadline
	}
	switch {
	case o.Namespace == "":
		return nil, errors.New("namespace: is required")
	case !isSubdomain(o.Namespace) || strings.Contains(o.Namespace, ".") || len(o.Namespace) > 63:
		return nil, fmt.Errorf("namespace: %q is no name of a namespace", clip(o.Namespace))
	case !isSubdomain(strings.ReplaceAll(o.Name, Placeholder, "x")):
		return nil, fmt.Errorf("name: %q is no name of a secret: lower-case letters, digits, hyphens, full stops", clip(o.Name))
	case len(o.FieldManager) > 128: // FieldManagerMaxLength, apimachinery pkg/apis/meta/v1/validation
		return nil, errors.New("field_manager: is longer than 128 characters")
	case o.Deadline < 0 || o.Deadline > maxDeadline:
		return nil, fmt.Errorf("deadline: must be positive and at most %s", maxDeadline)
	}
	c, err := o.Cluster.connect()
	if err != nil {
		return nil, err
	}
	return &KubernetesSecret{opts: o, client: c, wait: sleep}, nil
}

// String says where to.
func (k *KubernetesSecret) String() string {
	return "secret " + k.opts.Namespace + "/" + k.opts.Name + " at " + clip(k.opts.Cluster.Server)
}

// secret is the object as it is applied. []byte is base64 in JSON, as the API wants it.
type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   meta              `json:"metadata"`
	Type       string            `json:"type"`
	Data       map[string][]byte `json:"data"`
}

type meta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Install applies the secret (server-side apply), and tries again what may pass until the deadline. The same apply twice
// is the same as once, so a lost answer is simply asked again.
func (k *KubernetesSecret) Install(ctx context.Context, certificate string, chain, key []byte) ([]assure.Step, error) {
	t := &trail{now: k.opts.Now}
	p, err := t.match(certificate, chain, key, k.opts.Names)
	if err != nil {
		return t.steps, err
	}
	name := strings.ReplaceAll(k.opts.Name, Placeholder, SecretName(certificate))
	target := "secret " + k.opts.Namespace + "/" + name
	ctx, cancel := context.WithTimeout(ctx, k.opts.Deadline)
	defer cancel()
	err = t.do(assure.StepInstall, target, func() (string, error) {
		if !isSubdomain(name) {
			return "", trouble(assure.TroubleInvalid, clip(name)+" is no name of a secret")
		}
		body, err := k.body(name, p)
		if err != nil {
			return "", err
		}
		var got answer
		err = attempts(ctx, k.wait, func(ctx context.Context) (err error) {
			got, err = k.once(ctx, name, body, p)
			return err
		})
		if err != nil {
			return "", err
		}
		if got.status == http.StatusCreated {
			return "the secret was made", nil
		}
		return "the secret has the pair", nil
	})
	return t.steps, err
}

func (k *KubernetesSecret) body(name string, p *pair) ([]byte, error) {
	s := secret{
		APIVersion: "v1", Kind: "Secret", Type: "kubernetes.io/tls",
		Metadata: meta{Name: name, Namespace: k.opts.Namespace, Labels: k.opts.Labels, Annotations: k.opts.Annotations},
		Data:     map[string][]byte{"tls.crt": p.fullchain(), "tls.key": p.keyPEM},
	}
	if k.opts.CA {
		s.Data["ca.crt"] = p.chainPEM
	}
	if k.opts.KeystorePassword != "" {
		var err error
		if s.Data["keystore.p12"], err = PKCS12.render(p, k.opts.KeystorePassword); err != nil {
			return nil, trouble(assure.TroubleInvalid, clip(err.Error()))
		}
	}
	return json.Marshal(s)
}

func (k *KubernetesSecret) once(ctx context.Context, name string, body []byte, p *pair) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	at, err := url.Parse(k.opts.Cluster.Server)
	if err != nil {
		return answer{}, trouble(assure.TroubleInvalid, "the server's address cannot be used")
	}
	at = at.JoinPath("api", "v1", "namespaces", k.opts.Namespace, "secrets", name)
	q := url.Values{"fieldManager": {k.opts.FieldManager}, "fieldValidation": {"Strict"}}
	if k.opts.Force {
		q.Set("force", "true")
	}
	at.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPatch, at.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, trouble(assure.TroubleInvalid, "the server's address cannot be used")
	}
	bearer, err := k.opts.Cluster.token()
	if err != nil {
		return answer{}, err
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	// JSON is YAML. Source: kubernetes.io/docs/reference/using-api/server-side-apply.
	r.Header.Set("Content-Type", "application/apply-patch+yaml")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "notafter")
	a, err := ask(k.client, r)
	if err == nil {
		err = k.classify(a, p, bearer)
	}
	if err == nil {
		return a, nil
	}
	return a, changed(err, func(t *assure.Trouble) {
		t.Action, t.Scope = "patch secrets", k.opts.Namespace+"/"+name
		if t.Identity == "" {
			t.Identity = k.opts.Cluster.Who
		}
	})
}

// status is the API server's answer when it refuses (meta/v1 Status).
type status struct {
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Details struct {
		Causes []struct {
			Reason  string `json:"reason"`
			Message string `json:"message"`
			Field   string `json:"field"`
		} `json:"causes"`
		RetryAfterSeconds int `json:"retryAfterSeconds"`
	} `json:"details"`
}

// forbiddenUser finds who is refused in the words of the API server's authorizer (apiserver pkg/endpoints/handlers/
// responsewriters/errors.go): secrets "x" is forbidden: User "system:serviceaccount:ns:name" cannot patch resource ...
var forbiddenUser = regexp.MustCompile(`User "([^"]{1,256})" cannot `)

func (k *KubernetesSecret) classify(a answer, p *pair, bearer string) error {
	if a.status == http.StatusOK || a.status == http.StatusCreated {
		if a.cut {
			t := trouble(assure.TroubleTransient, "the answer was cut off")
			t.Happened = true
			return t
		}
		var got secret
		if err := json.Unmarshal(a.body, &got); err != nil || !bytes.Equal(got.Data["tls.crt"], p.fullchain()) {
			t := trouble(assure.TroubleBroken, "HTTP "+strconv.Itoa(a.status)+", but the secret in the answer does not hold the new certificate")
			t.Happened = true
			t.Remedy = "Something between notafter and the API server, or an admission webhook, changes secrets: see the secret, then renew again"
			return t
		}
		return nil
	}
	var s status
	_ = json.Unmarshal(a.body, &s) // proxies answer in other forms
	detail := "HTTP " + strconv.Itoa(a.status)
	if s.Message != "" {
		detail += ": " + hide(s.Message, bearer, k.opts.KeystorePassword)
	}
	t := trouble(assure.TroubleInvalid, clip(detail))
	switch a.status {
	case http.StatusUnauthorized:
		t.Class, t.Remedy = assure.TroubleExpired, "The token or client certificate is not accepted: give a valid one"
	case http.StatusForbidden:
		if m := forbiddenUser.FindStringSubmatch(s.Message); m != nil {
			t.Class, t.Identity = assure.TroubleDenied, clip(m[1])
			t.Remedy = "Grant it the verbs create and patch on secrets in the namespace " + k.opts.Namespace + ", with a Role and a RoleBinding"
		} else {
			t.Class, t.Remedy = assure.TroubleForbidden, "A quota, an admission rule or the end of the namespace forbids it: the message says which"
		}
	case http.StatusNotFound:
		t.Class, t.Remedy = assure.TroubleMissing, "Make the namespace "+k.opts.Namespace+", or correct its name in the configuration"
	case http.StatusConflict:
		t.Class = assure.TroubleConflict
		for _, c := range s.Details.Causes {
			if c.Reason == "FieldManagerConflict" {
				// It will be the same the next time: somebody else renews, or once made, this secret.
				t.Class = assure.TroubleForbidden
				t.Remedy = "Another manager owns fields of the secret (named in the message): use another secret, or let notafter take them over with force"
			}
		}
	case http.StatusTooManyRequests:
		t.Class = assure.TroubleThrottled
	case http.StatusUnprocessableEntity:
		t.Remedy = "A secret of that name and another type may be there already; the type cannot be changed: delete it or use another name"
	default:
		switch {
		case a.status/100 == 5:
			t.Class, t.Happened = assure.TroubleTransient, true
		case a.status == http.StatusRequestTimeout:
			t.Class = assure.TroubleTransient
		case a.status/100 == 3:
			t.Remedy = "The server points somewhere else, and a key is not sent after it: give the address of the API server itself"
		}
	}
	if t.Class.Retry() {
		t.RetryAfter = max(retryAfter(a.header, k.opts.Now()), time.Duration(max(0, min(s.Details.RetryAfterSeconds, 3600)))*time.Second)
	}
	return t
}

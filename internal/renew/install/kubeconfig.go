package install

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// kubeconfig is the part of the format that is understood.
// Source: kubernetes.io/docs/reference/config-api/kubeconfig.v1.
type kubeconfig struct {
	Current  string `yaml:"current-context"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster   string `yaml:"cluster"`
			User      string `yaml:"user"`
			Namespace string `yaml:"namespace"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []struct {
		Name    string `yaml:"name"`
		Cluster struct {
			Server     string `yaml:"server"`
			ServerName string `yaml:"tls-server-name"`
			Insecure   bool   `yaml:"insecure-skip-tls-verify"`
			CAFile     string `yaml:"certificate-authority"`
			CA         string `yaml:"certificate-authority-data"`
			Proxy      string `yaml:"proxy-url"`
		} `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string `yaml:"name"`
		User struct {
			Token     string `yaml:"token"`
			TokenFile string `yaml:"tokenFile"`
			CertFile  string `yaml:"client-certificate"`
			Cert      string `yaml:"client-certificate-data"`
			KeyFile   string `yaml:"client-key"`
			Key       string `yaml:"client-key-data"`
			Username  string `yaml:"username"`
			As        string `yaml:"as"`
			Exec      any    `yaml:"exec"`
			Provider  any    `yaml:"auth-provider"`
		} `yaml:"user"`
	} `yaml:"users"`
}

// ParseKubeconfig reads how a cluster is reached from a kubeconfig: server, CA, and a token, a token file or a client
// certificate. Paths in it are relative to dir. context is the one to use, the current one when empty. What would run
// programs (exec, auth-provider), or weaken the connection, is refused.
func ParseKubeconfig(data []byte, dir, context string) (Cluster, error) {
	k, err := decodeKubeconfig(data)
	if err != nil {
		return Cluster{}, fmt.Errorf("kubeconfig: %w", err)
	}
	if context == "" {
		context = k.Current
	}
	c, err := k.pick(dir, context)
	if err != nil {
		return Cluster{}, fmt.Errorf("kubeconfig: %w", err)
	}
	if _, err := c.connect(); err != nil {
		return Cluster{}, fmt.Errorf("kubeconfig: %w", err)
	}
	return c, nil
}

// decodeKubeconfig decodes. Unknown keys are let through: other tools write theirs. Errors quote nothing of the text.
func decodeKubeconfig(data []byte) (k kubeconfig, err error) {
	if len(data) > maxPEM {
		return k, fmt.Errorf("is larger than %d KiB", maxPEM>>10)
	}
	defer func() {
		if recover() != nil {
			err = errors.New("cannot be read as YAML")
		}
	}()
	// The parser recurses, and aliases multiply: no honest file is that deep or has any.
	depth := 0
	for _, t := range lexer.Tokenize(string(data)) {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return k, errors.New("anchors and aliases are not accepted")
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		}
		if depth > 32 || (t.Position != nil && t.Position.IndentNum > 64) {
			return k, errors.New("is nested too deep")
		}
		if t.Type == token.SequenceEntryType && t.Position != nil && t.Position.Column > 64 {
			return k, errors.New("is nested too deep")
		}
	}
	if err := yaml.Unmarshal(data, &k); err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
			return k, fmt.Errorf("line %d cannot be understood", ye.GetToken().Position.Line)
		}
		return k, errors.New("cannot be read as YAML")
	}
	return k, nil
}

func (k kubeconfig) pick(dir, context string) (c Cluster, err error) {
	if context == "" {
		return c, errors.New("it names no current-context; say which context to use")
	}
	cluster, user, found := "", "", false
	for _, x := range k.Contexts {
		if x.Name == context {
			cluster, user, c.Namespace, found = x.Context.Cluster, x.Context.User, x.Context.Namespace, true
			break
		}
	}
	if !found {
		return c, fmt.Errorf("there is no context %q", clip(context))
	}
	found = false
	for _, x := range k.Clusters {
		if x.Name != cluster {
			continue
		}
		found = true
		switch {
		case x.Cluster.Insecure:
			return c, errors.New("insecure-skip-tls-verify is refused: the key would go to whoever answers; give certificate-authority-data")
		case x.Cluster.Proxy != "":
			return c, errors.New("proxy-url is not supported")
		}
		c.Server, c.ServerName = x.Cluster.Server, x.Cluster.ServerName
		if c.CA, err = either(dir, "certificate-authority", x.Cluster.CA, x.Cluster.CAFile); err != nil {
			return c, err
		}
		break
	}
	if !found {
		return c, fmt.Errorf("there is no cluster %q", clip(cluster))
	}
	for _, x := range k.Users {
		if x.Name != user {
			continue
		}
		u := x.User
		switch {
		case u.Exec != nil:
			return c, errors.New("the user's credentials come from a program (exec), which notafter does not run; make a service account for it and give its token (kubectl create token)")
		case u.Provider != nil:
			return c, errors.New("auth-provider is not supported; make a service account and give its token (kubectl create token)")
		case u.Username != "":
			return c, errors.New("user name and password are not supported; make a service account and give its token (kubectl create token)")
		case u.As != "":
			return c, errors.New("impersonation (as) is not supported; give that identity's own credentials")
		}
		c.Who = "user " + clip(x.Name) + " of the kubeconfig"
		// A certificate beside a token: kubectl sends both, and the server prefers the certificate.
		if c.ClientCert, err = either(dir, "client-certificate", u.Cert, u.CertFile); err != nil {
			return c, err
		}
		if c.ClientKey, err = either(dir, "client-key", u.Key, u.KeyFile); err != nil {
			return c, err
		}
		if len(c.ClientCert) == 0 {
			switch {
			case u.TokenFile != "": // wins over token, says the format
				c.TokenFile = within(dir, u.TokenFile)
			default:
				c.Token = u.Token
			}
		}
		return c, nil
	}
	return c, fmt.Errorf("there is no user %q", clip(user))
}

// either is what the data key holds in base64, or what the file named by the other key holds. The data wins, says the
// format.
func either(dir, key, data, file string) ([]byte, error) {
	if data != "" {
		b, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("%s-data is not base64", key)
		}
		return b, nil
	}
	if file == "" {
		return nil, nil
	}
	b, err := readSmall(within(dir, file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return b, nil
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

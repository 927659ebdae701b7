package install

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Cluster is how an API server is reached and as whom. It holds secrets: printed, it shows none.
type Cluster struct {
	Server     string // https://host[:port][/path]
	ServerName string // that the server's certificate is verified by, when it is not the host
	CA         []byte // PEM; the system's roots when empty
	// One of these is what we are known by.
	Token                 string
	TokenFile             string // read at each request: the kubelet exchanges it before it ends
	ClientCert, ClientKey []byte // PEM
	// Who names the identity for people, as far as it is known without asking.
	Who       string
	Namespace string // the default one; may be empty
}

// String shows no secret.
func (c Cluster) String() string { return c.Server }

// GoString shows no secret.
func (c Cluster) GoString() string { return fmt.Sprintf("install.Cluster(%q)", c.Server) }

// ServiceAccountDir is where the kubelet puts a pod's credentials.
// Source: kubernetes.io/docs/tasks/run-application/access-api-from-pod.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// InCluster finds the API server of the cluster that the process runs in. getenv is os.Getenv, dir [ServiceAccountDir].
func InCluster(getenv func(string) string, dir string) (Cluster, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return Cluster{}, errors.New("this is no pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; give a kubeconfig")
	}
	ca, err := readSmall(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return Cluster{}, fmt.Errorf("read the cluster's CA: %w", err)
	}
	c := Cluster{Server: "https://" + net.JoinHostPort(host, port), CA: ca, TokenFile: filepath.Join(dir, "token"), Who: "the pod's service account"}
	if ns, err := readSmall(filepath.Join(dir, "namespace")); err == nil {
		c.Namespace = strings.TrimSpace(string(ns))
	}
	return c, nil
}

func readSmall(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxPEM {
		return nil, fmt.Errorf("%s is no regular file of at most %d KiB", path, maxPEM>>10)
	}
	return os.ReadFile(path)
}

// connect checks what is given and makes the client.
func (c Cluster) connect() (*http.Client, error) {
	u, err := url.Parse(c.Server)
	switch {
	case err != nil, u.Hostname() == "":
		return nil, errors.New("server: is no address")
	case u.Scheme != "https":
		return nil, errors.New("server: must begin with https://, for a key is sent there")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("server: must be an address without user, query and fragment")
	}
	ways := 0
	for _, is := range []bool{c.Token != "", c.TokenFile != "", len(c.ClientCert) > 0} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("want exactly one of a token, a token file and a client certificate")
	}
	if strings.ContainsAny(c.Token, "\r\n") {
		return nil, errors.New("token: holds a line break")
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if len(c.CA) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("certificate-authority: no certificate in it")
		}
	}
	if len(c.ClientCert) > 0 {
		pair, err := tls.X509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, errors.New("client-certificate, client-key: they cannot be read or do not belong together")
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return client(conf, nil), nil
}

// token is what is sent as the bearer; empty with a client certificate.
func (c Cluster) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	b, err := readSmall(c.TokenFile)
	if err != nil {
		return "", fileTrouble("read", c.TokenFile, err)
	}
	s := strings.TrimSpace(string(b))
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return "", notFile(c.TokenFile, "holds no token")
	}
	return s, nil
}

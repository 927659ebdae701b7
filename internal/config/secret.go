package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Secret is a reference to a secret, "env:NAME" or "file:PATH", and after [Config.Resolve] the secret itself. However
// it is printed, encoded or logged, only the reference shows.
type Secret struct {
	ref   string
	value *string
}

// NewSecret makes a secret that needs no resolving, for configurations built by a program.
func NewSecret(value string) Secret { return Secret{ref: "(given)", value: &value} }

// IsZero reports whether the file says nothing.
func (s Secret) IsZero() bool { return s.ref == "" && s.value == nil }

// Reference is what the file says.
func (s Secret) Reference() string { return s.ref }

// Value is the secret itself; empty before it is resolved and when the file says nothing.
func (s Secret) Value() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String gives the reference, never the secret.
func (s Secret) String() string { return s.ref }

// GoString gives the reference, never the secret.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.ref) }

// LogValue gives the reference, never the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.ref) }

// MarshalText gives the reference, never the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.ref), nil }

// UnmarshalText takes a reference. Its errors never repeat the text, which may be a secret written out by mistake.
func (s *Secret) UnmarshalText(b []byte) error {
	ref := string(b)
	switch {
	case isReference(ref):
		if err := checkReference(ref); err != nil {
			return err
		}
	case ref == "":
		return errors.New("is empty: want env:NAME or file:PATH")
	default:
		return errors.New("must be a reference, env:NAME or file:PATH, and not the secret itself (which is not repeated here)")
	}
	*s = Secret{ref: ref}
	return nil
}

func isReference(s string) bool { return strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") }

func checkReference(ref string) error {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if name == "" || strings.ContainsAny(name, "= \t\n\x00${}") {
			return errors.New("env: must be followed by the name of an environment variable")
		}
		return nil
	}
	if path := strings.TrimPrefix(ref, "file:"); path == "" || strings.ContainsAny(path, "\n\x00") {
		return errors.New("file: must be followed by a path")
	}
	return nil
}

// Text is a plain value that may be written by reference where it is better kept out of the file.
type Text struct{ Secret }

// NewText makes a text that needs no resolving.
func NewText(value string) Text { return Text{Secret{ref: value, value: &value}} }

// UnmarshalText takes a reference or the text itself.
func (t *Text) UnmarshalText(b []byte) error {
	s := string(b)
	switch {
	case isReference(s):
		return t.Secret.UnmarshalText(b)
	case s == "":
		return errors.New("is empty")
	}
	*t = NewText(s)
	return nil
}

// Address is the http or https address of a service. It may be written by reference where it holds a token.
type Address struct{ Secret }

// NewAddress makes an address that needs no resolving. The text is not checked.
func NewAddress(value string) Address { return Address{Secret{ref: value, value: &value}} }

// UnmarshalText takes a reference or the address itself.
func (a *Address) UnmarshalText(b []byte) error {
	s := string(b)
	if isReference(s) {
		return a.Secret.UnmarshalText(b)
	}
	if err := checkURL(s); err != nil {
		return err
	}
	*a = NewAddress(s)
	return nil
}

// checkURL never repeats the address: it may hold a token.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return errors.New("is empty: want an address such as https://example.com/")
	case err != nil || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is not an address: it must begin with https:// or http://")
	case u.Hostname() == "":
		return errors.New("is not an address: it has no host")
	case u.User != nil:
		return errors.New("holds a user or password; write the whole address by reference, env:NAME or file:PATH")
	}
	return nil
}

// State is a directory, or a reference to the address of a PostgreSQL database.
type State struct{ Secret }

// NewState makes a state that needs no resolving.
func NewState(directory string) State { return State{Secret{ref: directory, value: &directory}} }

// UnmarshalText takes a directory or a reference.
func (s *State) UnmarshalText(b []byte) error {
	t := string(b)
	switch {
	case isReference(t):
		return s.Secret.UnmarshalText(b)
	case t == "":
		return errors.New("is empty: want a directory, or env:NAME or file:PATH leading to a postgres:// address")
	case strings.HasPrefix(t, "postgres:") || strings.HasPrefix(t, "postgresql:"):
		return errors.New("must be a directory, or a reference (env:NAME or file:PATH) to the address of a database, which may hold a password")
	case strings.Contains(t, "://"):
		return errors.New("must be a directory, or a reference (env:NAME or file:PATH) to a postgres:// address")
	}
	*s = NewState(t)
	return nil
}

// Sources is where references lead. The zero value is the environment and the files of this process.
type Sources struct {
	Env      func(name string) (string, bool)
	ReadFile func(path string) ([]byte, error)
}

// maxSecret bounds what is read of a secret's file.
const maxSecret = 64 << 10

// Resolve reads every secret that the configuration refers to, and finds the state directory when none is named. The
// error is a [*Problems] that names each reference that leads nowhere and where it stands, and never holds a secret.
// Resolving again reads again.
func (c *Config) Resolve() error { return c.ResolveFrom(Sources{}) }

// ResolveFrom is [Config.Resolve] with other sources.
func (c *Config) ResolveFrom(from Sources) error {
	if from.Env == nil {
		from.Env = os.LookupEnv
	}
	if from.ReadFile == nil {
		from.ReadFile = readBounded
	}
	var bad []Problem
	eachSecret("", reflect.ValueOf(c).Elem(), func(key string, s *Secret, check func(string) error) {
		if !isReference(s.ref) {
			return
		}
		value, err := from.read(s.ref)
		if err == nil && check != nil {
			if cerr := check(value); cerr != nil {
				err = fmt.Errorf("what it leads to %w", cerr)
			}
		}
		if err != nil {
			bad = append(bad, c.problem(key, s.ref+": "+oneLine(err.Error())))
			return
		}
		s.value = &value
	})
	if c.State.IsZero() {
		dir, err := defaultState(from.Env)
		if err != nil {
			bad = append(bad, c.problem("state", err.Error()))
		} else {
			c.State = NewState(dir)
		}
	}
	return allOf(bad)
}

func (from Sources) read(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		v, ok := from.Env(name)
		switch {
		case !ok:
			return "", errors.New("the environment variable is not set")
		case v == "":
			return "", errors.New("the environment variable is empty")
		}
		return v, checkSecret(v)
	}
	b, err := from.ReadFile(strings.TrimPrefix(ref, "file:"))
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path is in the reference already
		}
		return "", fmt.Errorf("read the file: %w", err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return "", errors.New("the file is empty")
	}
	return string(b), checkSecret(string(b))
}

// checkSecret refuses what would be cut short or smuggle something where secrets end up: headers, addresses, mail.
func checkSecret(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) || !utf8.ValidString(s) {
		return errors.New("what it leads to is more than one line of text")
	}
	return nil
}

func readBounded(path string) ([]byte, error) {
	f, err := openSoon(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		return nil, fmt.Errorf("it is larger than %d bytes", maxSecret)
	}
	return b, err
}

// defaultState follows systemd (StateDirectory=) and the XDG base directory specification.
func defaultState(env func(string) (string, bool)) (string, error) {
	if v, _ := env("STATE_DIRECTORY"); v != "" {
		first, _, _ := strings.Cut(v, ":")
		return first, nil
	}
	if v, _ := env("XDG_STATE_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "notafter"), nil
	}
	if v, _ := env("HOME"); v != "" {
		return filepath.Join(v, ".local", "state", "notafter"), nil
	}
	return "", errors.New("no directory is named, and $STATE_DIRECTORY, $XDG_STATE_HOME and $HOME are not set either")
}

// eachSecret visits every secret under v that the file sets, with its key and what the resolved value must fulfil.
func eachSecret(key string, v reflect.Value, visit func(key string, s *Secret, check func(string) error)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachSecret(key, v.Elem(), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachSecret(fmt.Sprintf("%s[%d]", key, i), v.Index(i), visit)
		}
	case reflect.Map:
		for _, k := range sortedKeysOf(v) {
			// Elements of a map cannot be changed in place.
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			eachSecret(join(key, k.String()), e, visit)
			v.SetMapIndex(k, e)
		}
	case reflect.Struct:
		if !v.CanAddr() {
			return
		}
		switch s := v.Addr().Interface().(type) {
		case *Secret:
			visit(key, s, nil)
			return
		case *Text:
			visit(key, &s.Secret, nil)
			return
		case *Address:
			visit(key, &s.Secret, checkResolvedURL)
			return
		case *State:
			visit(key, &s.Secret, nil)
			return
		}
		for _, f := range fieldsOf(v.Type()) {
			eachSecret(join(key, f.key), v.Field(f.index), visit)
		}
	}
}

// checkResolvedURL lets user and password through, which are allowed where the address is kept out of the file.
func checkResolvedURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return errors.New("is not an https or http address")
	}
	return nil
}

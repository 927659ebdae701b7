package renew

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"filippo.io/age"
)

// maxSealed bounds what is opened: no key is larger.
const maxSealed = 64 << 10

// AgeSealer is a [Sealer] that encrypts to one age identity (X25519). It is safe for concurrent use.
type AgeSealer struct{ identity *age.X25519Identity }

// NewAgeSealer takes an identity as age-keygen writes it: one AGE-SECRET-KEY-1 line, with or without comments around
// it. Its errors do not quote the identity.
func NewAgeSealer(identity string) (*AgeSealer, error) {
	var found string
	for line := range strings.Lines(identity) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if found != "" {
			return nil, errors.New("there is more than one line that could be the age identity")
		}
		found = line
	}
	id, err := age.ParseX25519Identity(found)
	if err != nil {
		return nil, errors.New("this is no age identity: a line that begins with AGE-SECRET-KEY-1 is wanted")
	}
	return &AgeSealer{id}, nil
}

// Seal encrypts.
func (s *AgeSealer) Seal(plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.identity.Recipient())
	if err != nil {
		return nil, fmt.Errorf("encrypt with age: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypt with age: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt with age: %w", err)
	}
	return out.Bytes(), nil
}

// Open decrypts what Seal made.
func (s *AgeSealer) Open(sealed []byte) ([]byte, error) {
	if len(sealed) > maxSealed {
		return nil, errors.New("decrypt with age: it is too large to be a key")
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), s.identity)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return nil, errors.New("decrypt with age: it was sealed with another identity")
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt with age: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("decrypt with age: %w", err)
	}
	return plain, nil
}

// LoadOrMakeIdentity reads the age identity in the file, or makes one there when there is no file. The file is of mode
// 0600, and one that others may read is refused. Of several processes that make it at once, all end up with the same
// one; a crash leaves either the whole file or none.
func LoadOrMakeIdentity(path string) (string, error) {
	text, err := readIdentity(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make an age identity: %w", err)
	}
	if err := writeOnce(path, []byte(id.String()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the age identity %s: %w", path, err)
	}
	return readIdentity(path)
}

func readIdentity(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the age identity: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read the age identity: %w", err)
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("the age identity %s is not a file", path)
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return "", fmt.Errorf("the age identity %s can be used by others (mode %04o): run chmod 600 on it, and think about who read it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSealed))
	if err != nil {
		return "", fmt.Errorf("read the age identity: %w", err)
	}
	if _, err := NewAgeSealer(string(text)); err != nil {
		return "", fmt.Errorf("read the age identity %s: %w", path, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// writeOnce makes the file with its whole content, or fails with [fs.ErrExist]: it is written beside it and linked.
func writeOnce(path string, content []byte) error {
	var tail [8]byte
	if _, err := rand.Read(tail[:]); err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+hex.EncodeToString(tail[:]))
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(beside)
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Link(beside, path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // not every file system can; the content itself is safe
		_ = d.Close()
	}
	return nil
}

package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/argon2"
	"golang.org/x/term"
)

// Parameters of argon2id: the second recommended option of RFC 9106 section 4, for where 2 GiB a sign-in are too much.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	argonSalt    = 16
	argonKey     = 32
)

func (p *program) hashPassword() *cobra.Command {
	return &cobra.Command{
		Use:   "hash-password",
		Short: "Turn a password into the hash that sign_in wants",
		Long: `hash-password reads a password from standard input, up to the end of the first line, and prints its argon2id
hash in the PHC string format. On a terminal it asks, twice, without showing what is typed. Put the hash
in a file or a variable that the key password_hash refers to.`,
		Example: `  notafter hash-password > ana.hash
  pwgen -s 24 1 | tee /dev/stderr | notafter hash-password > ana.hash`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			password, err := p.readPassword()
			if err != nil {
				return err
			}
			hash, err := hashPassword(password)
			if err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintln(p.stdout, hash)
			return err
		},
	}
}

func (p *program) readPassword() (string, error) {
	if f, ok := p.stdin.(interface{ Fd() uintptr }); ok && term.IsTerminal(int(f.Fd())) {
		ask := func(prompt string) (string, error) {
			_, _ = io.WriteString(p.stderr, prompt)
			b, err := term.ReadPassword(int(f.Fd()))
			_, _ = io.WriteString(p.stderr, "\n")
			if err != nil {
				return "", fmt.Errorf("read password: %w", err)
			}
			return string(b), nil
		}
		first, err := ask("Password: ")
		if err != nil {
			return "", err
		}
		second, err := ask("Again: ")
		if err != nil {
			return "", err
		}
		if first != second {
			return "", errors.New("the two passwords differ")
		}
		return checkPassword(first)
	}
	line, err := bufio.NewReader(io.LimitReader(p.stdin, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	return checkPassword(strings.TrimRight(line, "\r\n"))
}

// checkPassword refuses what can only be a mistake. Length is what makes a password good (NIST SP 800-63B section
// 3.1.1.2 asks for at least 8 characters, and 15 where it is the only factor).
func checkPassword(s string) (string, error) {
	switch n := len([]rune(s)); {
	case n == 0:
		return "", errors.New("the password is empty")
	case n < 8:
		return "", errors.New("the password is shorter than 8 characters")
	case n > 1024:
		return "", errors.New("the password is longer than 1024 characters")
	}
	return s, nil
}

func hashPassword(password string) (string, error) {
	salt := make([]byte, argonSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(key)), nil
}

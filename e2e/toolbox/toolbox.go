//go:build unix

// Package toolbox builds the programs that the end-to-end tests run: OpenTofu, which is kept in a cache outside the
// checkout because building it takes minutes, and notafter itself.
package toolbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tofuPackage is what is built.
const tofuPackage = "github.com/opentofu/opentofu/cmd/tofu"

// tofuFlags make a release of it: without them it calls itself a development build, and is larger by a third.
const tofuFlags = "-s -w -X github.com/opentofu/opentofu/version.dev=no"

// Tofu returns the path of OpenTofu in the cache, and builds it first where it is not there. The cache is the user's
// ($XDG_CACHE_HOME/notafter/e2e on Linux), with a directory for each version of what it is built from. Of several
// processes that want it at the same time one builds and the others wait; log is told who does what, and how long it
// may take. Nothing half-built is ever seen under the path.
func Tofu(ctx context.Context, log io.Writer) (string, error) {
	module, err := directory(ctx)
	if err != nil {
		return "", err
	}
	module = filepath.Join(module, "tofu")
	dir, err := cache(ctx, module)
	if err != nil {
		return "", fmt.Errorf("find a place to keep OpenTofu: %w", err)
	}
	tofu := filepath.Join(dir, "tofu")
	if there(tofu) {
		return tofu, nil
	}
	unlock, err := lock(filepath.Join(dir, "lock"), log)
	if err != nil {
		return "", fmt.Errorf("wait for whoever else builds OpenTofu: %w", err)
	}
	defer unlock()
	if there(tofu) {
		return tofu, nil
	}
	say(log, "building OpenTofu into %s, once: it is 1,500 packages and takes 5 to 15 minutes on two processors; what was built is kept", dir)
	began := time.Now()
	part, err := os.MkdirTemp(dir, "part-")
	if err != nil {
		return "", fmt.Errorf("build OpenTofu: %w", err)
	}
	defer func() { _ = os.RemoveAll(part) }()
	if err := build(ctx, module, filepath.Join(part, "tofu"), tofuPackage, log, "-ldflags", tofuFlags); err != nil {
		return "", fmt.Errorf("build OpenTofu: %w", err)
	}
	if err := os.Rename(filepath.Join(part, "tofu"), tofu); err != nil {
		return "", fmt.Errorf("keep OpenTofu: %w", err)
	}
	say(log, "OpenTofu was built in %s", time.Since(began).Round(time.Second))
	return tofu, nil
}

// Notafter builds the product of this repository into a directory and returns its path.
func Notafter(ctx context.Context, dir string, log io.Writer) (string, error) {
	e2e, err := directory(ctx)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "notafter")
	if err := build(ctx, filepath.Dir(e2e), bin, "./cmd/notafter", log); err != nil {
		return "", fmt.Errorf("build notafter: %w", err)
	}
	return bin, nil
}

// directory is where this module is.
func directory(ctx context.Context) (string, error) {
	mod, err := ask(ctx, "", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(mod)
	if filepath.Base(dir) != "e2e" {
		return "", fmt.Errorf("these programs are built within the module e2e, and this is %s", dir)
	}
	return dir, nil
}

// cache makes the directory for what a module and this Go build.
func cache(ctx context.Context, module string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(module, name)) //nolint:gosec // of this repository
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(h, "%s %d\n%s", name, len(raw), raw)
	}
	with, err := ask(ctx, module, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	_, _ = io.WriteString(h, with+tofuFlags)
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "notafter", "e2e", hex.EncodeToString(h.Sum(nil)[:8]))
	return dir, os.MkdirAll(dir, 0o755) //nolint:gosec // nothing secret
}

func there(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

// lock waits until nobody else holds the file. The system gives it up when its holder dies.
func lock(name string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the user's cache
	if err != nil {
		return nil, err
	}
	try := func(how int) error {
		for {
			err := syscall.Flock(int(f.Fd()), how)
			if !errors.Is(err, syscall.EINTR) {
				return err
			}
		}
	}
	if err = try(syscall.LOCK_EX | syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		say(log, "somebody else builds OpenTofu just now: waiting for that")
		err = try(syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// build runs go build in a module. What it says goes to the log.
func build(ctx context.Context, module, to, pkg string, log io.Writer, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", to}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...) //nolint:gosec // constants
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = log, log
	return cmd.Run()
}

// ask runs the go command and returns what it prints.
func ask(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // constants
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the go command is needed: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func say(log io.Writer, format string, a ...any) {
	_, _ = fmt.Fprintf(log, "e2e: "+format+"\n", a...)
}

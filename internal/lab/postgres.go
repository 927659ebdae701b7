//go:build unix

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPostgres says that PostgreSQL's server programs are not on this machine.
var ErrNoPostgres = errors.New("no PostgreSQL server found: looked for initdb in PATH and in /usr/lib/postgresql/*/bin; on Debian install the package postgresql")

// StartPostgres makes a PostgreSQL cluster below dir, which must exist, and starts it on a free port of 127.0.0.1. It
// trusts everybody there and does not wait for the disk: it is for tests. Root cannot run PostgreSQL, so the server then
// runs as the user postgres. It dies with this process where the system can arrange that. The caller calls stop, which
// waits until the server is gone. The error is [ErrNoPostgres] when there is no server to start.
func StartPostgres(ctx context.Context, dir string) (dsn string, stop func(), err error) {
	bin, err := postgresBin()
	if err != nil {
		return "", nil, err
	}
	cluster := filepath.Join(dir, "cluster")
	if err := os.Mkdir(cluster, 0o700); err != nil {
		return "", nil, fmt.Errorf("make the cluster's directory: %w", err)
	}
	who, err := postgresUser(dir, cluster)
	if err != nil {
		return "", nil, err
	}
	command := func(name string, arg ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, filepath.Join(bin, name), arg...)
		c.Dir = cluster
		c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"}
		c.SysProcAttr = who
		return c
	}
	if out, err := command("initdb", "--pgdata="+cluster, "--username=notafter", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("make a PostgreSQL cluster: %w: %s", err, bytes.TrimSpace(out))
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	server := command("postgres", "-D", cluster, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB", "-c", "max_connections=60", "-c", "deadlock_timeout=200ms")
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	// SIGINT is PostgreSQL's fast shutdown; SIGKILL would leave its children to find out by themselves.
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGINT) }
	server.WaitDelay = 20 * time.Second
	if err := server.Start(); err != nil {
		return "", nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		_ = server.Wait() // how it ended is told by its log
		close(gone)
	}()
	stop = func() {
		_ = server.Process.Signal(syscall.SIGINT) // it may be gone already
		select {
		case <-gone:
		case <-time.After(20 * time.Second):
			_ = server.Process.Kill()
			<-gone
		}
	}
	dsn = (&url.URL{Scheme: "postgres", User: url.User("notafter"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres", RawQuery: "sslmode=disable"}).String()
	if err := awaitPostgres(ctx, dsn, gone); err != nil {
		stop()
		return "", nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(log.Bytes()))
	}
	return dsn, stop, nil
}

func postgresBin() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // a name that is no number counts as the oldest
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// postgresUser says as whom the server runs, and makes the cluster's directory that user's, and reachable.
func postgresUser(dir, cluster string) (*syscall.SysProcAttr, error) {
	attr := dieWithParent()
	if os.Geteuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user for it: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read the user postgres: %w", err)
	}
	if err := os.Chown(cluster, uid, gid); err != nil {
		return nil, fmt.Errorf("give the cluster to the user postgres: %w", err)
	}
	// Directories of the testing package are closed to others; the server must be able to pass through.
	temp := filepath.Clean(os.TempDir())
	for d := filepath.Clean(dir); d != temp && len(d) > len(temp); d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err == nil && info.Mode().Perm()&0o011 != 0o011 {
			err = os.Chmod(d, info.Mode().Perm()|0o011)
		}
		if err != nil {
			return nil, fmt.Errorf("let the user postgres reach its cluster: %w", err)
		}
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

func awaitPostgres(ctx context.Context, dsn string, gone <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-gone:
			return errors.New("PostgreSQL ended while it was starting")
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL: %w", err)
		case <-tick.C:
		}
	}
}

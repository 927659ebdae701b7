package legochild

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Actions of a [Request].
const (
	Present  = "present"
	Withdraw = "withdraw"
)

// MaxLine bounds a request and an answer, in bytes.
const MaxLine = 64 << 10

// Request asks the child for one operation. It is one line of JSON. Settings are in the child's environment.
type Request struct {
	Provider string `json:"provider"`
	Action   string `json:"action"`
	Name     string `json:"name"`  // the record's full name after aliases, without a trailing dot
	Value    string `json:"value"` // the TXT value, unquoted
	// Deadline is when whoever asked stops waiting; zero for none.
	Deadline time.Time `json:"deadline,omitzero"`
}

// Answer is one line of JSON for each request.
type Answer struct {
	OK      bool            `json:"ok"`
	Trouble *assure.Trouble `json:"trouble,omitempty"` // set when not OK
}

// Main answers requests until in ends, and returns the exit status: 0, or 1 when in or out cannot be read or written. The
// end of in is also how it learns that whoever asked is gone: what is under way is given up then, so that nothing is
// written that nobody would withdraw. Whoever asks keeps in open until the answer is there.
func Main(in io.Reader, out io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	lines, ended := make(chan []byte), make(chan error, 1)
	go func() {
		sc := bufio.NewScanner(in)
		sc.Buffer(make([]byte, 0, 4<<10), MaxLine)
		for sc.Scan() {
			if line := bytes.TrimSpace(sc.Bytes()); len(line) > 0 {
				lines <- bytes.Clone(line)
			}
		}
		cancel()
		ended <- sc.Err()
		close(lines)
	}()
	enc := json.NewEncoder(out)
	for line := range lines {
		if enc.Encode(answer(ctx, line, os.Getenv)) != nil {
			return 1
		}
	}
	if <-ended != nil {
		return 1
	}
	return 0
}

func answer(ctx context.Context, line []byte, getenv func(string) string) Answer {
	var q Request
	if err := json.Unmarshal(line, &q); err != nil {
		return Answer{Trouble: invalid("the request is not JSON: " + err.Error())}
	}
	p, ok := Find(q.Provider)
	if !ok {
		return Answer{Trouble: invalid(fmt.Sprintf("there is no DNS provider %q", q.Provider))}
	}
	set := Settings{}
	for _, s := range p.Settings {
		for _, n := range []string{s.Name, s.Alias} {
			if n == "" {
				continue
			}
			if v := getenv(n); v != "" {
				set[n] = v
			}
		}
	}
	if !q.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, q.Deadline)
		defer cancel()
	}
	if err := p.run(ctx, set, q); err != nil {
		return Answer{Trouble: assure.TroubleOf(err, assure.DNSWriteFailed)}
	}
	return Answer{OK: true}
}

// run does one operation and completes what is told about its failure.
func (p Provider) run(ctx context.Context, set Settings, q Request) error {
	if err := checkName(q.Name); err != nil {
		return err
	}
	if err := checkValue(q.Value); err != nil {
		return err
	}
	if err := p.Check(set); err != nil {
		return invalid(err.Error())
	}
	w, err := p.open(set)
	if err != nil {
		return invalid(err.Error())
	}
	switch q.Action {
	case Present:
		err = w.present(ctx, q.Name, q.Value)
	case Withdraw:
		err = w.withdraw(ctx, q.Name, q.Value)
		if isMissing(err) {
			err = nil // a zone, set or value that is not there needs no withdrawing
		}
	default:
		return invalid(fmt.Sprintf("there is no action %q", q.Action))
	}
	if err == nil {
		return nil
	}
	t := *assure.TroubleOf(err, assure.DNSWriteFailed)
	if t.Identity == "" {
		t.Identity = p.Who(set)
	}
	if t.Scope == "" {
		t.Scope = "TXT " + q.Name
	}
	if t.Remedy == "" {
		t.Remedy = p.remedy(t.Class)
	}
	return &t
}

func (p Provider) remedy(c assure.TroubleClass) string {
	switch c {
	case assure.TroubleDenied:
		return "Give the identity at " + p.Title + ": " + p.Permission
	case assure.TroubleExpired:
		for _, s := range p.Settings {
			if s.Secret {
				return "Make a new credential at " + p.Title + " and set it (" + s.Name + ")"
			}
		}
	case assure.TroubleMissing:
		return "See that the zone exists in the account at " + p.Title + " that the credential belongs to"
	}
	return ""
}

func isMissing(err error) bool {
	var t *assure.Trouble
	return errors.As(err, &t) && t.Class == assure.TroubleMissing
}

func invalid(detail string) *assure.Trouble {
	return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleInvalid, Detail: detail}
}

// checkName lets only what every provider takes, and what needs no escaping anywhere, into a request (RFC 1035 section
// 2.3.4 for the lengths; underscores as in "_acme-challenge").
func checkName(name string) error {
	if name == "" || len(name) > 253 {
		return invalid("the record's name is empty or longer than 253 characters")
	}
	for _, l := range strings.Split(name, ".") {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return invalid(fmt.Sprintf("%q is not a name of a record in lower case without a trailing dot", name))
		}
	}
	return nil
}

// checkValue lets only what is the same in every notation of TXT values: printable ASCII of one string (RFC 1035 section
// 3.3.14) without quotes and backslashes.
func checkValue(v string) error {
	if v == "" || len(v) > 255 {
		return invalid("the TXT value is empty or longer than 255 characters")
	}
	for _, r := range v {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' || r == ';' {
			return invalid("the TXT value holds a character that some provider would change")
		}
	}
	return nil
}

package store

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// A fact is stored as JSON, {"c":[...],"f":...}: c holds the rows of table cert that the fact shares with others, f the
// fact without them. Where a fingerprint stands in f, "#N" stands for the N-th of c; any other string in that place that
// begins with # has one more put before it. From packAbove bytes on it is deflated (RFC 1951) behind the byte packed.
const (
	packAbove = 1024
	packed    = 'z'
	// unpackedMost bounds what one stored fact may inflate to. A look keeps far less; only damage makes more.
	unpackedMost = 64 << 20
)

type envelope struct {
	Certs []int64         `json:"c,omitempty"`
	Fact  json.RawMessage `json:"f"`
}

// factSum tells whether a fact is the one that is stored already.
func factSum(kind string, plain []byte) int64 {
	h := sha256.New()
	_, _ = h.Write([]byte(kind))
	_, _ = h.Write(plain)
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)[:8]))
}

// certsOf lists the certificates that a fact carries.
func certsOf(f assure.Fact) []assure.Cert {
	if s, ok := f.(assure.Served); ok {
		return s.Certs
	}
	return nil
}

// encodeFact gives the stored form of a fact whose certificates have the given rows.
func encodeFact(f assure.Fact, certs []int64) ([]byte, error) {
	if s, ok := f.(assure.Served); ok {
		index := make(map[string]string, len(s.Certs))
		for i, c := range s.Certs {
			if _, ok := index[c.Fingerprint]; !ok {
				index[c.Fingerprint] = "#" + strconv.Itoa(i)
			}
		}
		s.Certs = nil
		f = mapPrints(s, func(p string) (string, error) {
			if short, ok := index[p]; ok {
				return short, nil
			}
			if strings.HasPrefix(p, "#") {
				return "#" + p, nil
			}
			return p, nil
		}, new(error))
	}
	body, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode %s fact: %w", f.Kind(), err)
	}
	out, err := json.Marshal(envelope{certs, body})
	if err != nil {
		return nil, fmt.Errorf("encode %s fact: %w", f.Kind(), err)
	}
	if len(out) <= packAbove {
		return out, nil
	}
	var b bytes.Buffer
	b.WriteByte(packed)
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("encode %s fact: %w", f.Kind(), err)
	}
	_, err = w.Write(out)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("encode %s fact: %w", f.Kind(), err)
	}
	return b.Bytes(), nil
}

// openEnvelope reads the outer form, which names the certificates that the fact needs.
func openEnvelope(stored []byte) (envelope, error) {
	var e envelope
	if len(stored) > 0 && stored[0] == packed {
		plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(stored[1:])), unpackedMost+1))
		if err != nil {
			return e, fmt.Errorf("decode stored fact: %w", err)
		}
		if len(plain) > unpackedMost {
			return e, fmt.Errorf("decode stored fact: larger than %d bytes", unpackedMost)
		}
		stored = plain
	}
	if err := json.Unmarshal(stored, &e); err != nil {
		return e, fmt.Errorf("decode stored fact: %w", err)
	}
	return e, nil
}

// decode gives the fact, its certificates joined again.
func (e envelope) decode(kind string, certs map[int64]assure.Cert) (assure.Fact, error) {
	f, err := assure.DecodeFact(kind, e.Fact)
	if err != nil {
		return nil, err
	}
	s, ok := f.(assure.Served)
	if !ok {
		return f, nil
	}
	list := make([]assure.Cert, 0, len(e.Certs))
	for _, id := range e.Certs {
		c, ok := certs[id]
		if !ok {
			return nil, fmt.Errorf("decode stored fact: certificate %d is missing from the database", id)
		}
		list = append(list, c)
	}
	s = mapPrints(s, func(p string) (string, error) {
		rest, ok := strings.CutPrefix(p, "#")
		if !ok || strings.HasPrefix(rest, "#") {
			return rest, nil
		}
		i, err := strconv.Atoi(rest)
		if err != nil || i < 0 || i >= len(list) {
			return "", fmt.Errorf("decode stored fact: %.20q names no certificate", p)
		}
		return list[i].Fingerprint, nil
	}, &err)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		s.Certs = list
	}
	return s, nil
}

// mapPrints gives a copy of s in which every fingerprint went through change. The first error is put into fail.
func mapPrints(s assure.Served, change func(string) (string, error), fail *error) assure.Served {
	one := func(p string) string {
		out, err := change(p)
		if err != nil && *fail == nil {
			*fail = err
		}
		return out
	}
	list := func(in []string) []string {
		out := slices.Clone(in)
		for i := range out {
			out[i] = one(out[i])
		}
		return out
	}
	paths := func(in []assure.Path) []assure.Path {
		out := slices.Clone(in)
		for i := range out {
			out[i].Certs, out[i].LimitedBy = list(out[i].Certs), one(out[i].LimitedBy)
		}
		return out
	}
	s.Chains = slices.Clone(s.Chains)
	for i := range s.Chains {
		c := &s.Chains[i]
		c.Certs, c.Unused, c.Paths, c.Completed = list(c.Certs), list(c.Unused), paths(c.Paths), paths(c.Completed)
		c.Revocation = slices.Clone(c.Revocation)
		for k := range c.Revocation {
			c.Revocation[k].Cert = one(c.Revocation[k].Cert)
		}
	}
	return s
}

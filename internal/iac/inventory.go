package iac

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// inventoryFormat stands in every snapshot, so that another file is not taken for one. Members may be added under the
// same number; a reader leaves out what it does not know.
const inventoryFormat = 1

// Bounds of a snapshot.
const (
	maxInventory       = 64 << 20 // bytes; a hundred thousand certificates need about half of it
	mostCertificates   = 200_000
	longestInventory   = 1024 // letters of one text
	mostTextsOfOneKind = 10_000
)

// StaleInventory is the age from which a snapshot is old enough to be mentioned: dates in it may have passed, and
// certificates may be missing.
const StaleInventory = 24 * time.Hour

// snapshot is an inventory in a file.
type snapshot struct {
	Format int `json:"notafter_inventory"`
	Inventory
}

// Encode gives the inventory as a snapshot in JSON, in the form that [ReadInventory] takes. It holds no secrets, only
// names and ids.
func (inv Inventory) Encode() ([]byte, error) {
	if inv.Certificates == nil {
		inv.Certificates = []Certificate{}
	}
	var b bytes.Buffer
	if err := writeEncoded(&b, snapshot{inventoryFormat, inv}); err != nil {
		return nil, fmt.Errorf("encode the inventory: %w", err)
	}
	return b.Bytes(), nil
}

// ReadInventory reads a snapshot.
func ReadInventory(r io.Reader) (Inventory, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInventory+1))
	if err != nil {
		return Inventory{}, err
	}
	if len(data) > maxInventory {
		return Inventory{}, fmt.Errorf("larger than %d MiB", maxInventory>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return Inventory{}, fmt.Errorf("not a snapshot of an inventory: %w", err)
	}
	if err := readOneWay(data); err != nil {
		return Inventory{}, err
	}
	switch {
	case s.Format == 0:
		return Inventory{}, errors.New(`not a snapshot of an inventory: the member "notafter_inventory" is missing`)
	case s.Format != inventoryFormat:
		return Inventory{}, fmt.Errorf("a snapshot of format %d; this version reads format %d", s.Format, inventoryFormat)
	case len(s.Certificates) > mostCertificates:
		return Inventory{}, fmt.Errorf("more than %d certificates", mostCertificates)
	}
	for i := range s.Certificates {
		c := &s.Certificates[i]
		if c.Name = bounded(c.Name); c.Name == "" {
			return Inventory{}, fmt.Errorf("certificates[%d] has no name", i)
		}
		c.Renewer, c.Challenge = bounded(c.Renewer), bounded(c.Challenge)
		for _, list := range []*[]string{&c.Names, &c.Identities, &c.Zones, &c.Records, &c.Grants, &c.Issuers} {
			if len(*list) > mostTextsOfOneKind {
				return Inventory{}, fmt.Errorf("certificate %s: a list has more than %d elements", c.Name, mostTextsOfOneKind)
			}
			for j := range *list {
				(*list)[j] = bounded((*list)[j])
			}
		}
		if err := c.boundAllowed(); err != nil {
			return Inventory{}, err
		}
	}
	return s.Inventory, nil
}

// readOneWay refuses JSON that two readers may take in two ways. encoding/json takes the last of members that come twice,
// and "Certificates" for "certificates": who looks through a file would see certificates that are not read. Members that
// are not known are left out, so they need only differ.
func readOneWay(data []byte) error {
	s := newScan(bytes.NewReader(data), 0)
	var twice error
	var value func() error
	value = func() error {
		c, err := s.next()
		switch {
		case err != nil:
			return err
		case c == '[':
			return s.list(value)
		case c != '{':
			return s.skip()
		}
		seen := map[string]bool{}
		return s.object(func(name []byte) error {
			switch n := string(name); {
			case seen[n]:
				twice = fmt.Errorf("the member %s comes twice", shown(s.where()))
				return twice
			case bytes.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }):
				twice = fmt.Errorf("the member %s is not written as members of a snapshot are, in small letters", shown(s.where()))
				return twice
			default:
				seen[n] = true
			}
			return value()
		})
	}
	if err := value(); err != nil && twice == nil {
		return fmt.Errorf("not a snapshot of an inventory: %w", err)
	}
	return twice
}

func bounded(s string) string { return shorten(tidy(s), longestInventory) }

// Age is a sentence about how old a snapshot is, empty while it is young enough to rest on.
func (inv Inventory) Age(now time.Time) string {
	switch {
	case inv.At.IsZero():
		return "the inventory does not say when it was true"
	case inv.At.Sub(now) > time.Hour: // clocks differ by less
		return fmt.Sprintf("the inventory is of %s, which has not come yet: nobody knows how old it is", moment(inv.At))
	case now.Sub(inv.At) <= StaleInventory:
		return ""
	}
	return fmt.Sprintf("the inventory is of %s: dates in it may have passed, and certificates may be missing", moment(inv.At))
}

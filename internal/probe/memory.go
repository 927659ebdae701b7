package probe

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// memory holds what one process must remember of an address between looks, so that what is sampled is stable: whether
// it has certificates of both kinds, and whether it breaks on the post-quantum key share. The rules:
//
//   - The first look asks for the other kind of certificate, and every Nth after it. If there is one, every later look
//     asks again, so that it is in every look's facts; until it is gone, and then it is in none.
//   - One look in M offers the post-quantum share. If the address breaks on it, every later look offers it, so that the
//     failure is in every look's facts; until it works, and then it is in none.
//
// An entry is a 64-bit hash and three bytes, about 40 bytes of memory with its share of the table. Two addresses with
// one hash would share an entry; the worst of it is a sample more or less. Past maxMemory entries any one is
// forgotten, which makes that address's next look its first again. Nothing is shared between processes, and nothing
// outlives one: a first look finds out again.
type memory struct {
	seed         maphash.Seed
	otherEvery   int
	hybridEvery  int
	mu           sync.Mutex
	notes        map[uint64]note
	maxNotes     int
	otherOff     bool
	hybridOff    bool
	hybridAlways bool
}

type note struct {
	flags       uint8
	sinceOther  uint8 // looks since the other kind was asked for
	sinceHybrid uint8 // looks since the post-quantum share was offered
}

const (
	noteBoth      = 1 << iota // certificates of both kinds were seen
	noteHybridBad             // breaks on the post-quantum share
)

// maxMemory entries take about 40 MiB.
const maxMemory = 1 << 20

// plan is what one look at an address does beyond the plain handshake.
type plan struct {
	other     bool // ask for the other kind of certificate
	both      bool // it was there the last time
	hybrid    bool // offer the post-quantum share
	hybridBad bool // it broke the handshake the last time
}

func newMemory(otherEvery, hybridEvery int) *memory {
	return &memory{
		seed: maphash.MakeSeed(), otherEvery: min(otherEvery, 255), hybridEvery: min(hybridEvery, 255), notes: map[uint64]note{}, maxNotes: maxMemory,
		otherOff: otherEvery < 0, hybridOff: hybridEvery < 0, hybridAlways: hybridEvery == 1,
	}
}

func (m *memory) key(name string, at netip.AddrPort) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	_, _ = h.WriteString(name)
	b := at.Addr().As16()
	_, _ = h.Write(b[:])
	return h.Sum64()
}

// plan counts a look at the address and says what it shall do.
func (m *memory) plan(k uint64) plan {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, known := m.notes[k]
	var p plan
	p.both = n.flags&noteBoth != 0
	p.hybridBad = n.flags&noteHybridBad != 0
	if !known {
		p.other = !m.otherOff
		if !m.hybridOff {
			// Spread: of many addresses first seen in one sweep, each sweep takes its share.
			n.sinceHybrid = uint8(k % uint64(m.hybridEvery)) //nolint:gosec // G115: under 255
		}
		if !m.otherOff {
			n.sinceOther = uint8(k >> 32 % uint64(m.otherEvery)) //nolint:gosec // G115: under 255
		}
	} else if !m.otherOff {
		n.sinceOther++
		if int(n.sinceOther) >= m.otherEvery || p.both {
			p.other, n.sinceOther = true, 0
		}
	}
	if !m.hybridOff {
		n.sinceHybrid++
		if int(n.sinceHybrid) >= m.hybridEvery || p.hybridBad {
			p.hybrid, n.sinceHybrid = true, 0
		}
	}
	if !known && len(m.notes) >= m.maxNotes {
		for old := range m.notes {
			delete(m.notes, old)
			break
		}
	}
	m.notes[k] = n
	return p
}

func (m *memory) other(k uint64, both bool) { m.mark(k, noteBoth, both) }
func (m *memory) hybrid(k uint64, bad bool) { m.mark(k, noteHybridBad, bad) }

func (m *memory) mark(k uint64, flag uint8, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.notes[k]
	if !ok || n.flags&flag != 0 == on {
		return
	}
	n.flags ^= flag
	m.notes[k] = n
}

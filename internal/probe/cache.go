package probe

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// clock is a bounded map. When it is full, the entry that was not used for longest goes, roughly: the second-chance
// algorithm, one bit per entry. It is safe for concurrent use.
type clock[K comparable, V any] struct {
	mu    sync.Mutex
	index map[K]uint32
	slots []clockSlot[K, V]
	freed []uint32 // slots that hold nothing
	hand  int
	limit int
}

type clockSlot[K comparable, V any] struct {
	key    K
	val    V
	recent bool
	free   bool
}

func newClock[K comparable, V any](limit int) *clock[K, V] {
	return &clock[K, V]{index: map[K]uint32{}, limit: limit}
}

func (c *clock[K, V]) get(k K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index[k]
	if !ok {
		return v, false
	}
	c.slots[i].recent = true
	return c.slots[i].val, true
}

// put stores and returns what had to go for it: the entry's former value or that of another entry.
func (c *clock[K, V]) put(k K, v V) (gone V, evicted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.index[k]; ok {
		gone, evicted = c.slots[i].val, true
		c.slots[i].val, c.slots[i].recent = v, true
		return gone, evicted
	}
	slot := clockSlot[K, V]{key: k, val: v}
	if n := len(c.freed); n > 0 {
		i := c.freed[n-1]
		c.freed = c.freed[:n-1]
		c.slots[i], c.index[k] = slot, i
		return gone, false
	}
	if len(c.slots) < c.limit {
		c.index[k] = uint32(len(c.slots)) //nolint:gosec // G115: bounded by limit
		c.slots = append(c.slots, slot)
		return gone, false
	}
	i := c.pick()
	gone = c.slots[i].val
	delete(c.index, c.slots[i].key)
	c.slots[i], c.index[k] = slot, uint32(i) //nolint:gosec // G115: bounded by limit
	return gone, true
}

// shed removes one entry.
func (c *clock[K, V]) shed() (gone V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.index) == 0 {
		return gone, false
	}
	i := c.pick()
	gone = c.slots[i].val
	delete(c.index, c.slots[i].key)
	c.slots[i] = clockSlot[K, V]{free: true}
	c.freed = append(c.freed, uint32(i)) //nolint:gosec // G115: bounded by limit
	return gone, true
}

// pick moves the hand to the next slot whose entry was not used since the hand last passed. There is at least one entry.
func (c *clock[K, V]) pick() int {
	for {
		if c.hand >= len(c.slots) {
			c.hand = 0
		}
		i := c.hand
		c.hand++
		switch {
		case c.slots[i].free:
		case c.slots[i].recent:
			c.slots[i].recent = false
		default:
			return i
		}
	}
}

func (c *clock[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.index)
}

// Bounds of the verdict cache. An entry beyond maxVerdictEntry is analysed each time: a certificate with hundreds of
// names is rare, and a hostile one must not push the others out.
const (
	defaultVerdictBytes = 64 << 20
	maxVerdictEntry     = 16 << 10
	maxVerdicts         = 1 << 20
	// verdictOverhead is what an entry costs beside its data: the slot and its share of the index, measured.
	verdictOverhead = 96
)

// verdictKey identifies what an analysis depends on. It is a keyed hash, cut to 128 bits: without the key, which never
// leaves the process, nobody can prepare two chains that share one.
type verdictKey [16]byte

// verdictCache keeps the facts of chains seen before. It is exact: the key covers every byte of every certificate, the
// host and the trust store. The facts do not depend on the time, so that entries do not age, except those that say so.
type verdictCache struct {
	secret [32]byte
	trust  string
	limit  int
	codec  *codec
	slots  *clock[verdictKey, verdictEntry]

	mu           sync.Mutex
	bytes        int
	hits, misses uint64
}

type verdictEntry struct {
	data    string
	recheck uint32 // Unix time in seconds; 0: never
}

func newVerdictCache(trust string, limit int) *verdictCache {
	c := &verdictCache{trust: trust, limit: limit, codec: newCodec(), slots: newClock[verdictKey, verdictEntry](maxVerdicts)}
	_, _ = rand.Read(c.secret[:]) // never fails (crypto/rand)
	return c
}

func (c *verdictCache) key(host string, extra int, der [][]byte) verdictKey {
	h := sha256.New()
	var head [32 + 8]byte
	copy(head[:], c.secret[:])
	binary.BigEndian.PutUint64(head[32:], uint64(extra)) //nolint:gosec // G115: a count
	_, _ = h.Write(head[:])
	var n [8]byte
	write := func(p []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(p)
	}
	write([]byte(host))
	write([]byte(c.trust))
	for _, d := range der {
		write(d)
	}
	var sum [sha256.Size]byte
	return verdictKey(h.Sum(sum[:0])[:16])
}

func (c *verdictCache) get(k verdictKey, now time.Time) (verdict, bool) {
	e, ok := c.slots.get(k)
	var v verdict
	if ok && (e.recheck == 0 || now.Unix() < int64(e.recheck)) {
		v, ok = c.codec.decode(e.data)
	} else {
		ok = false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.hits++
	} else {
		c.misses++
	}
	return v, ok
}

func (c *verdictCache) put(k verdictKey, v verdict) {
	e := verdictEntry{data: c.codec.encode(v)}
	if len(e.data) > maxVerdictEntry {
		return
	}
	if !v.recheck.IsZero() {
		e.recheck = uint32(max(1, min(v.recheck.Unix(), 1<<32-1)))
	}
	gone, evicted := c.slots.put(k, e)
	c.mu.Lock()
	c.bytes += len(e.data) + verdictOverhead
	if evicted {
		c.bytes -= len(gone.data) + verdictOverhead
	}
	over := c.bytes > c.limit
	c.mu.Unlock()
	for over {
		gone, ok := c.slots.shed()
		c.mu.Lock()
		if ok {
			c.bytes -= len(gone.data) + verdictOverhead
		}
		over = ok && c.bytes > c.limit
		c.mu.Unlock()
	}
}

func (c *verdictCache) stats() (hits, misses uint64, entries, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses, c.slots.len(), c.bytes + c.codec.size()
}

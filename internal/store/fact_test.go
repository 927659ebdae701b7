package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// FuzzFact stores any fact that can be read and reads it again: it must come back as it was, whatever stands where
// fingerprints are expected.
func FuzzFact(f *testing.F) {
	for _, fact := range []assure.Fact{
		good(shop), bad(),
		assure.Served{},
		assure.Blind{Detail: "x"},
		assure.Rehearsed{Rung: assure.RehearseCanary, Renewer: "#0", Steps: []assure.Step{{Name: assure.StepPresent, Outcome: assure.Done}}},
		assure.Renewing{Renewer: "letsencrypt", Newest: &intermediate, Missing: []string{"#1"}},
		assure.Served{Certs: []assure.Cert{{Fingerprint: "#0"}, {Fingerprint: "#0"}}, Chains: []assure.Chain{{Certs: []string{"#0", "##", "#1", ""}}}},
	} {
		b, err := json.Marshal(fact)
		ok(f, err)
		f.Add(fact.Kind(), b)
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		in, err := assure.DecodeFact(kind, data)
		if err != nil {
			return
		}
		certs, ids := map[int64]assure.Cert{}, []int64(nil)
		for i, c := range certsOf(in) {
			ids = append(ids, int64(i))
			certs[int64(i)] = c
		}
		stored, err := encodeFact(in, ids)
		if err != nil {
			t.Skip("times that JSON does not have")
		}
		e, err := openEnvelope(stored)
		ok(t, err)
		out, err := e.decode(kind, certs)
		ok(t, err)
		// Empty and absent lists are the same to every reader; JSON tells them apart where it matters.
		a, err1 := json.Marshal(in)
		b, err2 := json.Marshal(out)
		ok(t, err1)
		ok(t, err2)
		if !reflect.DeepEqual(a, b) || in.Key() != out.Key() {
			t.Fatalf("stored %s\nread   %s", a, b)
		}
	})
}

// FuzzEnvelope reads damaged facts: an error, never a panic and never memory without bounds.
func FuzzEnvelope(f *testing.F) {
	small, err := encodeFact(good(shop), []int64{1, 2, 3})
	ok(f, err)
	big := good(shop)
	for range 100 {
		big.Sightings = append(big.Sightings, big.Sightings[0])
	}
	large, err := encodeFact(big, []int64{1, 2, 3})
	ok(f, err)
	if large[0] != packed || len(large) > 1000 {
		f.Fatalf("a fact of a hundred sightings takes %d bytes", len(large))
	}
	f.Add("served", small)
	f.Add("served", large)
	f.Add("served", []byte(`{"c":[9],"f":{"chains":[{"certs":["#7","#x"]}]}}`))
	f.Add("blind", []byte{packed, 0xff})
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		e, err := openEnvelope(data)
		if err != nil {
			return
		}
		if fact, err := e.decode(kind, map[int64]assure.Cert{1: intermediate}); err == nil && fact == nil {
			t.Fatal("neither a fact nor an error")
		}
	})
}

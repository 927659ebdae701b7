package iac

// A reader turns one resource on one side of a plan into what renewal rests on of it. It may look at the other resources
// of its side. Most resources of a type mean nothing to renewal, and yield nothing.
type reader func(st *State, r *Side) []Tie

// readers of all types that renewal may rest on. What is not here is not even decoded.
var readers = merge(azureReaders, awsReaders, googleReaders, cloudflareReaders, kubernetesReaders, pathReaders)

// merge joins lists of readers. A type that is in several is read by each of them: the record of a host is on the way of
// one challenge by its name, and of another by what it says.
func merge(all ...map[string]reader) map[string]reader {
	out := map[string]reader{}
	for _, m := range all {
		for k, v := range m {
			if first := out[k]; first != nil {
				out[k] = func(st *State, r *Side) []Tie { return append(first(st, r), v(st, r)...) }
				continue
			}
			out[k] = v
		}
	}
	return out
}

// Matters reports whether resources of a type may matter to renewal.
func Matters(kind string) bool { return readers[kind] != nil }

// TiesOf reads all ties of one side.
func TiesOf(st *State) []Tie {
	var out []Tie
	for _, r := range st.Resources {
		read := readers[r.Change.Type]
		if read == nil {
			continue
		}
		for _, t := range read(st, r) {
			t.From = r
			out = append(out, t)
		}
	}
	return out
}

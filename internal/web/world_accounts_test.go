package web

import (
	"cmp"
	"context"
	"slices"

	"github.com/notafter/notafter/internal/assure"
)

func (w *world) User(_ context.Context, name string) (assure.User, error) {
	return get(w, w.users, name)
}

func (w *world) PutUser(_ context.Context, u assure.User) error { return put(w, w.users, u.Name, u) }
func (w *world) Users(context.Context) ([]assure.User, error)   { return nil, nil }
func (w *world) PutSession(_ context.Context, s assure.Session) error {
	return put(w, w.sessions, string(s.TokenHash), s)
}

func (w *world) Session(_ context.Context, h []byte) (assure.Session, error) {
	return get(w, w.sessions, string(h))
}

func (w *world) DeleteSession(_ context.Context, h []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, string(h))
	return nil
}

func (w *world) PutToken(_ context.Context, t assure.Token) error {
	return put(w, w.tokens, string(t.TokenHash), t)
}

func (w *world) Token(_ context.Context, h []byte) (assure.Token, error) {
	return get(w, w.tokens, string(h))
}

func (w *world) Tokens(context.Context) ([]assure.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []assure.Token
	for _, t := range w.tokens {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b assure.Token) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (w *world) DeleteToken(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, t := range w.tokens {
		if t.Name == name {
			delete(w.tokens, k)
		}
	}
	return nil
}

func (w *world) Log(_ context.Context, a assure.Audit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, a)
	return nil
}

func (w *world) AuditLog(_ context.Context, limit, offset int) ([]assure.Audit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Clone(w.log)
	slices.Reverse(out)
	from := min(offset, len(out))
	return out[from:min(from+limit, len(out))], nil
}

package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// readTime is how long a page may wait for the database.
const readTime = 20 * time.Second

// visit is one request for a page by somebody who may see it.
type visit struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	who  identity
	now  time.Time
	open map[assure.Stage]int // open incidents, for the mood of the page
	mood mood
}

// mood is how a page looks before a word of it is read.
type mood string

const (
	calm      mood = "calm"
	work      mood = "ticket"
	alarm     mood = "page"
	outage    mood = "outage"
	uncertain mood = "unknown"
)

// page is what every template needs.
type page struct {
	Title, Section string
	Now            time.Time
	Version        string
	Who            string
	CSRF           string
	SignedIn       bool // sign-in is on and somebody has
	Bare           bool // nothing but the content: the sign-in page and errors
	Look, Audit    bool
	Live           bool
	Mood           mood
	Open           int
}

func (s *Server) plainPage(title string) page {
	return page{Title: title, Now: s.now().UTC(), Version: s.opts.Version, Bare: true, Mood: calm}
}

func (v *visit) page(title, section string) page {
	p := page{
		Title: title, Section: section, Now: v.now, Version: v.s.opts.Version, Who: v.who.name, CSRF: v.who.csrf,
		SignedIn: v.s.auth.on(), Look: v.s.opts.Probe != nil, Audit: v.s.opts.Accounts != nil, Live: v.s.opts.Changed != nil, Mood: v.mood,
	}
	for _, n := range v.open {
		p.Open += n
	}
	return p
}

// page wraps the handler of a page that only people who signed in may see. A POST must carry the form's token.
func (s *Server) page(h func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTime)
		defer cancel()
		r = r.WithContext(ctx)
		v := &visit{s: s, w: w, r: r, now: s.now().UTC(), mood: calm}
		var err error
		if v.who, err = s.auth.who(r); err != nil {
			s.fail(w, r, err)
			return
		}
		if v.who.scope == "" || v.who.token != "" {
			if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get(fragmentHeader) != "" {
				http.Error(w, "Please sign in.", http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, "/sign-in?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if r.Method == http.MethodPost {
			if err := readForm(r); err != nil {
				s.fail(w, r, err)
				return
			}
			if !equal(v.who.csrf, r.PostFormValue("csrf")) {
				s.fail(w, r, httpError{http.StatusForbidden, "This form had grown old. Go back, reload the page and send it again; nothing was changed."})
				return
			}
		}
		v.feel()
		if err := h(v); err != nil {
			s.fail(w, r, err)
		}
	})
}

// public wraps the handler of a page that anybody may see.
func (s *Server) public(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// feel finds the mood. That it cannot be found is itself one, never calm.
func (v *visit) feel() {
	t, err := v.s.opts.Reader.Totals(v.r.Context())
	if err != nil {
		v.s.log.Error("read totals for a page", "error", err)
		v.mood = uncertain
		return
	}
	v.open = t.Incidents
	switch {
	case t.Incidents[assure.StageOutage] > 0:
		v.mood = outage
	case t.Incidents[assure.StagePage] > 0:
		v.mood = alarm
	case t.Incidents[assure.StageTicket] > 0:
		v.mood = work
	default:
		for _, by := range t.Claims {
			if by[assure.Unknown] > 0 || by[assure.Broken] > 0 {
				v.mood = uncertain
			}
		}
	}
}

// readForm reads a form. The guard bounds its size and its time.
func readForm(r *http.Request) error {
	err := r.ParseForm()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return httpError{http.StatusRequestEntityTooLarge, "The form is too large."}
	case err != nil:
		return httpError{http.StatusBadRequest, "The form could not be read."}
	}
	return nil
}

// httpError is an answer other than a page: a status and a sentence for whoever asked.
type httpError struct {
	status int
	text   string
}

func (e httpError) Error() string { return e.text }

type errorPage struct {
	page
	Status int
	Text   string
}

// fail answers with an error page. What went wrong inside goes to the log only.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text, title := http.StatusInternalServerError, "It has been logged. If it stays, look at the log of notafter.", "Something went wrong"
	var h httpError
	switch {
	case errors.As(err, &h):
		status, text, title = h.status, h.text, http.StatusText(h.status)
	case errors.Is(err, assure.ErrNotFound):
		status, text, title = http.StatusNotFound, "There is nothing of that name here. It may have been removed from the configuration.", "Not found"
	case errors.Is(err, assure.ErrConflict):
		status, text, title = http.StatusConflict, "Somebody else changed the same thing at the same moment. Nothing was written; please do it again.", "Try again"
	case errors.Is(err, assure.ErrFull):
		status, text, title = http.StatusServiceUnavailable, "The disk that holds the state of notafter is full. Nothing was written; free some space, and do it again.", "The disk is full"
	case errors.Is(err, context.Canceled):
		return // whoever asked has gone
	case errors.Is(err, context.DeadlineExceeded):
		status, text, title = http.StatusServiceUnavailable, "The database did not answer in time. What is shown elsewhere may be old.", "No answer in time"
	}
	if status >= 500 {
		s.log.Error("answer a request", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	p := errorPage{page: s.plainPage(title), Status: status, Text: text}
	if status >= 500 {
		p.Mood = uncertain
	}
	if err := s.render(w, r, status, "error", p); err != nil {
		s.log.Error("answer with an error page", "error", err)
		http.Error(w, text, status)
	}
}

// fragmentHeader asks for a page's main part only; the script sends it when it fetches a page again.
const fragmentHeader = "Notafter-Fragment"

// render makes the whole answer before the first byte is sent, so that nobody sees half a page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	t := s.pages[name]
	if t == nil {
		return fmt.Errorf("no template %s", name)
	}
	part := "base.html"
	if r.Header.Get(fragmentHeader) != "" && r.Method == http.MethodGet {
		part = "main"
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, part, data); err != nil {
		return fmt.Errorf("make page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("Vary", fragmentHeader+", Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever asked may have gone
	return nil
}

// pager leads through the pages of a list.
type pager struct {
	Page, First, Last, Total int // Total is -1 when it is not known
	Prev, Next               string
}

// maxPage bounds the offset that a request can ask for.
const maxPage = 100_000

func pageNumber(r *http.Request) int {
	n, err := strconv.Atoi(r.FormValue("page"))
	if err != nil || n < 1 {
		return 1
	}
	return min(n, maxPage)
}

func newPager(r *http.Request, n, size, shown, total int, more bool) pager {
	p := pager{Page: n, First: (n-1)*size + 1, Last: (n-1)*size + shown, Total: total}
	if shown == 0 {
		p.First = 0
	}
	to := func(n int) string {
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(n))
		if n == 1 {
			q.Del("page")
		}
		if len(q) == 0 {
			return r.URL.EscapedPath()
		}
		return r.URL.EscapedPath() + "?" + q.Encode()
	}
	if n > 1 {
		p.Prev = to(n - 1)
	}
	if more || total > n*size {
		p.Next = to(n + 1)
	}
	return p
}

// functions are what templates may call.
func functions(a *assets) template.FuncMap {
	return template.FuncMap{
		"asset":   func(name string) string { return a.urls[name] },
		"when":    when,
		"ago":     ago,
		"brief":   brief,
		"subject": subjectWords,
		"span":    assure.Ago,
		"left":    left,
		"count":   count,
		"plural":  plural,
		"certURL": certificateURL,
		"docs":    func(r assure.Reason) string { return r.Docs() },
		"short":   func(fp string) string { return fp[:min(len(fp), 12)] },
		"join":    func(l []string) string { return strings.Join(l, ", ") },
		"pct":     func(x float64) string { return strconv.FormatFloat(x*100, 'f', 2, 64) + "%" },
		"pair":    func(p, v any) map[string]any { return map[string]any{"P": p, "V": v} },
		"words":   func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") },
		"receipt": receiptWords,
		"ticks":   ticks,
		"nonzero": func(t time.Time) bool { return !t.IsZero() },
	}
}

func certificateURL(name string) string { return "/certificates/" + url.PathEscape(name) }

// when shows a moment: absolute in UTC, and how far it is from now. The script keeps the second part true.
func when(now, t time.Time) template.HTML {
	if t.IsZero() {
		return "not known"
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format("2 Jan 2006 15:04 UTC") + ` <span class="rel">` + relative(now, t) + `</span></time>`)
}

// ago shows how far a moment is from now, and the moment itself to whoever points at it.
func ago(now, t time.Time) template.HTML {
	if t.IsZero() {
		return "not known"
	}
	t = t.UTC()
	return template.HTML(`<time class="bare" datetime="` + t.Format(time.RFC3339) + `" title="` + t.Format("2 Jan 2006 15:04:05 UTC") + `"><span class="rel">` + relative(now, t) + `</span></time>`)
}

func relative(now, t time.Time) string {
	if t.After(now) {
		return "in " + assure.Between(now, t)
	}
	return assure.Between(t, now) + " ago"
}

// left is the runway in words.
func left(now, until time.Time) string {
	switch {
	case until.IsZero():
		return "not known"
	case !until.After(now):
		return "refused"
	}
	return assure.Between(now, until)
}

// receiptWords is the answer of a channel. Most details hold the code already.
func receiptWords(code int, detail string) string {
	if c := strconv.Itoa(code); code != 0 && !strings.Contains(detail, c) {
		return strings.TrimSpace(c + " " + detail)
	}
	return detail
}

// count writes a number with thin groups of three digits.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
)

//go:embed assets templates
var files embed.FS

// assets serves the style sheet, the script and the icons under names that hold a hash of the content, so that they
// may be kept for ever.
type assets struct {
	byPath map[string]asset
	urls   map[string]string // "style.css" -> "/assets/style.0123abcd.css"
}

type asset struct {
	body []byte
	kind string
}

var assetKinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func loadAssets() (*assets, error) {
	a := &assets{byPath: map[string]asset{}, urls: map[string]string{}}
	entries, err := files.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("read embedded assets: %w", err)
	}
	for _, e := range entries {
		body, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read embedded asset %s: %w", e.Name(), err)
		}
		ext := path.Ext(e.Name())
		sum := sha256.Sum256(body)
		at := "/assets/" + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.byPath[at] = asset{body, assetKinds[ext]}
		a.urls[e.Name()] = at
	}
	return a, nil
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.byPath[r.URL.Path]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(f.body)
}

// loadPages parses every page together with the parts that all share.
func loadPages(a *assets) (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(functions(a)).ParseFS(files, "templates/base.html", "templates/part_*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the shared templates: %w", err)
	}
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("read embedded templates: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "base" || strings.HasPrefix(name, "part_") {
			continue
		}
		t, err := shared.Clone()
		if err == nil {
			t, err = t.ParseFS(files, "templates/"+e.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("parse template %s: %w", e.Name(), err)
		}
		pages[name] = t
	}
	return pages, nil
}

package web

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/notafter/notafter/internal/assure"
)

// needs gives what a test in a browser needs, or says loudly that it is missing; in CI that is a failure.
func needs(t *testing.T) (chromium, axe string) {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing, and in CI nothing is skipped", what)
		}
		t.Skipf("NOT TESTED in a browser: %s is missing. Run make test, which installs it.", what)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" {
		missing("chromium")
	}
	body, err := os.ReadFile(filepath.Join("..", "..", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		missing("node_modules/axe-core/axe.min.js")
	}
	return chromium, string(body)
}

// browser starts Chromium with a profile of its own.
func browser(t *testing.T, chromium string) context.Context {
	t.Helper()
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.UserDataDir(t.TempDir()),
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func do(t *testing.T, ctx context.Context, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func ask[T any](t *testing.T, ctx context.Context, what string, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return v
}

// scheme chooses between light and dark.
func scheme(value string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	})
}

func noScripts() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}

func shoot(t *testing.T, name string, body []byte) {
	t.Helper()
	dir := os.Getenv("TEST_OUTPUT")
	if dir == "" {
		dir = filepath.Join("..", "..", "out")
	}
	dir = filepath.Join(dir, "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("make %s: %v", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), body, 0o644); err != nil {
		t.Fatalf("write a screenshot: %v", err)
	}
}

type appearance struct {
	name          string
	width, height int64
	dark          bool
}

// inAxe runs axe-core in the page, through the debugger and so outside the page's own content policy.
const inAxe = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => JSON.stringify(
  r.violations.filter(v => v.impact === "serious" || v.impact === "critical").map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + " " + n.any.concat(n.all, n.none).map(a => a.message).join("; ")).join(" | "))))`

// examine loads a page once and looks at it in each appearance: nothing wider than the window, and nothing that axe
// calls serious or critical.
func examine(t *testing.T, ctx context.Context, axe, url, name string, looks []appearance) {
	t.Helper()
	do(t, ctx, name, chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("#main")))
	if failed := ask(t, ctx, name, chromedp.Evaluate[bool](`document.querySelector(".err") !== null`)); failed != (name == "missing") {
		t.Errorf("%s: shows an error page: %v", name, failed)
	}
	do(t, ctx, name, chromedp.Evaluate[chromedp.Void](axe+"; 0"))
	for _, l := range looks {
		colours, what := "light", name+" "+l.name
		if l.dark {
			colours = "dark"
		}
		do(t, ctx, what, chromedp.EmulateViewport(l.width, l.height), scheme(colours))
		if wide := ask(t, ctx, what, chromedp.Evaluate[float64](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); wide > 0 {
			t.Errorf("%s: the page is %v px wider than the window", what, wide)
		}
		var bad []string
		if err := json.Unmarshal([]byte(ask(t, ctx, what, chromedp.Evaluate[string](inAxe, chromedp.EvalAwaitPromise))), &bad); err != nil {
			t.Fatalf("%s: read what axe found: %v", what, err)
		}
		for _, b := range bad {
			t.Errorf("%s: %s", what, b)
		}
		shoot(t, name+"-"+l.name, ask(t, ctx, what, chromedp.FullScreenshot(100)))
	}
}

func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	chromium, axe := needs(t)
	hash, err := HashPassword("a long enough password")
	if err != nil {
		t.Fatal(err)
	}
	busy, quiet := newWorld(), quietWorld()
	open := serve(t, newServer(t, busy, nil))
	calmServer := serve(t, newServer(t, quiet, nil))
	locked := serve(t, newServer(t, newWorld(), func(o *Options) { o.Auth.Users = []assure.User{{Name: "ana", PasswordHash: hash}} }))
	id := string(busy.incidents[0].Incident.ID)
	pages := []struct{ name, url string }{
		{"overview", open.URL + "/"},
		{"overview-quiet", calmServer.URL + "/"},
		{"overview-none", open.URL + "/?q=nothing-like-it"},
		{"certificate-good", open.URL + "/certificates/hosted-eu"},
		{"certificate-expired", open.URL + "/certificates/shop.example.com"},
		{"certificate-chain", open.URL + "/certificates/wiki"},
		{"certificate-incomplete", open.URL + "/certificates/mail"},
		{"certificate-differs", open.URL + "/certificates/api-gateway"},
		{"certificate-never", open.URL + "/certificates/metrics.example.com"},
		{"incidents", open.URL + "/incidents"},
		{"incident", open.URL + "/incidents/" + id},
		{"monitor", open.URL + "/monitor"},
		{"monitor-undeclared", calmServer.URL + "/monitor"},
		{"look", open.URL + "/look"},
		{"api", open.URL + "/api"},
		{"audit", open.URL + "/audit"},
		{"missing", open.URL + "/nowhere"},
		{"sign-in", locked.URL + "/sign-in"},
	}
	looks := []appearance{{"light", 1280, 900, false}, {"dark", 1280, 900, true}, {"narrow", 320, 640, false}, {"phone", 390, 844, true}}
	ctx := browser(t, chromium)
	for _, p := range pages {
		examine(t, ctx, axe, p.url, p.name, looks)
	}
	do(t, ctx, "sign in and make a token", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(locked.URL+"/tokens"), chromedp.WaitVisible(chromedp.CSS("#user")),
		chromedp.SendKeys(chromedp.CSS("#user"), "ana"), chromedp.SendKeys(chromedp.CSS("#password"), "a long enough password"), chromedp.Submit(chromedp.CSS("#password")),
		chromedp.WaitVisible(chromedp.CSS("#t-name")), chromedp.SendKeys(chromedp.CSS("#t-name"), "prometheus"), chromedp.Submit(chromedp.CSS("#t-name")),
		chromedp.WaitVisible(chromedp.CSS("#made-token")))
	if token := ask(t, ctx, "read the token", chromedp.Text(chromedp.CSS("#made-token"))); !strings.HasPrefix(token, tokenPrefix) {
		t.Errorf("the token shown is %q", token)
	}
	shoot(t, "token-made", ask(t, ctx, "token", chromedp.FullScreenshot(100)))
	examine(t, ctx, axe, locked.URL+"/tokens", "tokens", looks)
	examine(t, ctx, axe, locked.URL+"/audit", "audit-signed-in", looks)
}

func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	chromium, _ := needs(t)
	w := newWorld()
	srv := serve(t, newServer(t, w, nil))
	ctx := browser(t, chromium)
	id := openIncident(w)
	do(t, ctx, "filter and open a certificate", noScripts(), chromedp.Navigate(srv.URL+"/"), chromedp.WaitVisible(chromedp.CSS("#f-q")),
		chromedp.SendKeys(chromedp.CSS("#f-q"), "hosted"), chromedp.Click(chromedp.CSS("#f-go")), chromedp.WaitVisible(chromedp.CSS(".filter a[href='/']")),
		chromedp.Click(chromedp.CSS("a[href='/certificates/hosted-eu']")), chromedp.WaitVisible(chromedp.CSS(".lifebar")))
	if h := ask(t, ctx, "heading", chromedp.Text(chromedp.CSS("h1"))); h != "hosted-eu" {
		t.Errorf("the heading is %q", h)
	}
	do(t, ctx, "acknowledge", chromedp.Navigate(srv.URL+"/incidents/"+string(id)), chromedp.WaitVisible(chromedp.CSS("#ack-who")),
		chromedp.SendKeys(chromedp.CSS("#ack-who"), "Bo"), chromedp.Click(chromedp.CSS("#ack")), chromedp.WaitVisible(chromedp.CSS(".e-acknowledged")))
	if who := ask(t, ctx, "who", chromedp.Text(chromedp.CSS(".take"))); !strings.Contains(who, "Bo") {
		t.Errorf("who has it: %q", who)
	}
}

func openIncident(w *world) assure.IncidentID {
	for _, v := range w.incidents {
		if v.Incident.State == assure.Open {
			return v.Incident.ID
		}
	}
	return ""
}

// TestLive has a page open, with somebody typing in it, while somebody else acknowledges an incident.
func TestLive(t *testing.T) {
	t.Parallel()
	chromium, _ := needs(t)
	w := newWorld()
	srv := serve(t, newServer(t, w, nil))
	ctx := browser(t, chromium)
	do(t, ctx, "open the overview", chromedp.Navigate(srv.URL+"/"), chromedp.WaitVisible(chromedp.CSS("#f-q")),
		chromedp.Poll[chromedp.Void](`document.getElementById("live-state").textContent === "live"`),
		// Becoming live replaces the field itself, at any moment: type at what has the focus, as a person does.
		chromedp.Evaluate[chromedp.Void](`document.getElementById("f-q").focus(); 0`), chromedp.KeyEvent("half a wo"))
	for _, v := range w.incidents {
		if _, err := w.Acknowledge(ctx, v.Incident.ID, "Cleo", worldNow); err != nil {
			t.Fatal(err)
		}
	}
	do(t, ctx, "wait for the news", chromedp.Poll[chromedp.Void](`document.body.textContent.includes("acknowledged by Cleo")`))
	focused := ask(t, ctx, "focus", chromedp.Evaluate[string](`document.activeElement.id`))
	written := ask(t, ctx, "field", chromedp.Value(chromedp.CSS("#f-q")))
	if focused != "f-q" || written != "half a wo" {
		t.Errorf("after the update the focus is on %q and the field holds %q", focused, written)
	}
}

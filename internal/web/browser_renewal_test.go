package web

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/notafter/notafter/internal/assure"
)

func TestRenewalsInBrowser(t *testing.T) {
	t.Parallel()
	chromium, axe := needs(t)
	w := renewingWorld()
	srv := serve(t, newServer(t, w, nil))
	ctx := browser(t, chromium)
	looks := []appearance{{"light", 1280, 900, false}, {"dark", 1280, 900, true}, {"narrow", 320, 640, false}, {"narrow-dark", 320, 640, true}}
	for _, name := range []string{renewedFine, renewedDenied, renewedRunning} {
		examine(t, ctx, axe, srv.URL+"/certificates/"+name, "renewal-"+name, looks)
	}
	for _, name := range []string{renewedFailing, renewedFirst, renewedQuietly} {
		examine(t, ctx, axe, srv.URL+"/certificates/"+name, "renewal-"+name, []appearance{looks[0], looks[3]})
	}
	examine(t, ctx, axe, srv.URL+"/", "overview-renewals", looks)
	for _, v := range w.incidents {
		if v.Incident.Reason == assure.DNSWriteDenied {
			examine(t, ctx, axe, srv.URL+"/incidents/"+string(v.Incident.ID), "incident-grant", looks)
		}
	}
}

// TestRenewWithoutJavaScript forces a renewal and rehearses as somebody does whose browser runs no scripts.
func TestRenewWithoutJavaScript(t *testing.T) {
	t.Parallel()
	chromium, _ := needs(t)
	w := renewingWorld()
	srv := serve(t, newServer(t, w, nil))
	ctx := browser(t, chromium)
	page := srv.URL + "/certificates/" + renewedFine
	// The answer to a form leads to the part about renewal, which is then the target of the address.
	send := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		do(t, ctx, what, chromedp.Navigate(page), chromedp.WaitVisible(chromedp.CSS("#rehearse-who")))
		if ask(t, ctx, what, chromedp.Evaluate[bool](`document.getElementById("renew-ask").open`)) {
			t.Error("a renewal is one click away")
		}
		do(t, ctx, what, append(steps, chromedp.WaitVisible(chromedp.CSS("#renewal:target")))...)
	}
	do(t, ctx, "run no scripts", noScripts())
	send("rehearse one rung", chromedp.SendKeys(chromedp.CSS("#rehearse-who"), "Bo"), chromedp.SetValue(chromedp.CSS("#rehearse-rung"), "canary"), chromedp.Click(chromedp.CSS("#rehearse-now")))
	send("rehearse every rung", chromedp.SendKeys(chromedp.CSS("#rehearse-who"), "Bo"), chromedp.Click(chromedp.CSS("#rehearse-now")))
	send("renew", chromedp.Click(chromedp.CSS("#renew-ask-open")), chromedp.WaitVisible(chromedp.CSS("#renew-who")), chromedp.SendKeys(chromedp.CSS("#renew-who"), "Bo"), chromedp.Click(chromedp.CSS("#renew-now")))
	if got := strings.Join(wishes(w), "; "); got != "rehearse hosted-de for Bo [rehearse_canary]; rehearse hosted-de for Bo []; renew hosted-de for Bo, force true" {
		t.Errorf("asked for was %s", got)
	}
}

// TestStepsAppear has the page of a certificate open while it is renewed, with the steps of an older attempt folded open
// and a name half written.
func TestStepsAppear(t *testing.T) {
	t.Parallel()
	chromium, _ := needs(t)
	w := renewingWorld()
	srv := serve(t, newServer(t, w, nil))
	ctx := browser(t, chromium)
	do(t, ctx, "open the page", chromedp.Navigate(srv.URL+"/certificates/"+renewedRunning), chromedp.WaitVisible(chromedp.CSS(".o-running")),
		chromedp.Poll[chromedp.Void](`document.getElementById("live-state").textContent === "live"`),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("attempt-2").open = true; document.getElementById("renew-ask").open = true; 0`),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("renew-who").focus(); 0`), chromedp.KeyEvent("Cl"))
	w.progress(renewedRunning, func(a *assure.Attempt) {
		a.Steps = append(a.Steps[:len(a.Steps):len(a.Steps)], assure.Step{Name: assure.StepValidate, Outcome: assure.Done, At: worldNow.Add(-time.Second), Took: time.Second, Detail: "it found the challenge, at last"})
	})
	do(t, ctx, "wait for the step", chromedp.Poll[chromedp.Void](`document.body.textContent.includes("it found the challenge, at last")`))
	w.progress(renewedRunning, func(a *assure.Attempt) { a.Ended, a.Outcome = worldNow, assure.Done })
	do(t, ctx, "wait for the end", chromedp.Poll[chromedp.Void](`document.querySelector(".o-running") === null`))
	state := ask(t, ctx, "what is open", chromedp.Evaluate[string](`[document.getElementById("attempt-2").open, document.getElementById("renew-ask").open, document.activeElement.id, document.activeElement.value].join(" ")`))
	if state != "true true renew-who Cl" {
		t.Errorf("after two updates: %s", state)
	}
}

// Keeps the page true while it is open: fetches its main part again when the server says that something changed, and
// keeps relative times right. Everything works without it.
(() => {
  "use strict";
  const events = document.body.dataset.live;
  const said = document.getElementById("said");
  const state = document.getElementById("live-state");
  let skew = 0; // the server's clock less this one, in milliseconds
  let busy = false;
  let again = false;

  const main = () => document.getElementById("main");

  const span = (ms) => {
    const s = Math.floor(Math.abs(ms) / 1000);
    const two = (a, au, b, bu) => (b ? `${a}${au} ${b}${bu}` : `${a}${au}`);
    if (s >= 864000) return `${Math.floor(s / 86400)}d`;
    if (s >= 86400) return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
    if (s >= 3600) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "m");
    if (s >= 60) return two(Math.floor(s / 60), "m", s % 60, "s");
    return `${s}s`;
  };

  const retime = () => {
    const now = Date.now() + skew;
    for (const rel of document.querySelectorAll("time > .rel")) {
      const at = Date.parse(rel.parentElement.dateTime);
      if (Number.isNaN(at)) continue;
      const text = at > now ? `in ${span(at - now)}` : `${span(now - at)} ago`;
      if (rel.textContent !== text) rel.textContent = text;
    }
  };

  const learn = (el) => {
    const now = Date.parse(el.dataset.now || "");
    if (!Number.isNaN(now)) skew = now - Date.now();
  };

  // Where somebody is: the focused element by its id or its address, what is written in fields, what is folded open, and
  // how far regions are scrolled.
  const place = (root) => {
    const at = document.activeElement;
    const focus = root.contains(at) ? at : null;
    const fold = focus && focus.tagName === "SUMMARY" ? focus.parentElement.id : "";
    const key = !focus ? null : fold ? `#${CSS.escape(fold)} > summary` : focus.id ? `#${CSS.escape(focus.id)}` : focus.getAttribute("href") ? `a[href="${CSS.escape(focus.getAttribute("href"))}"]` : null;
    const fields = [...root.querySelectorAll("input[id], select[id], textarea[id]")]
      .filter((f) => f.type !== "hidden" && (f.value !== (f.defaultValue ?? f.value) || f === at || f.tagName === "SELECT"))
      .map((f) => ({ id: f.id, value: f.value, from: f === at && f.setSelectionRange && f.type !== "checkbox" ? f.selectionStart : null, to: f === at ? f.selectionEnd : null }));
    const regions = [...root.querySelectorAll("[role=region][aria-label]")].map((r) => ({ name: r.getAttribute("aria-label"), left: r.scrollLeft, focused: r === at }));
    const folds = [...root.querySelectorAll("details[id]")].map((d) => ({ id: d.id, open: d.open }));
    return { key, folds, fields, regions, x: window.scrollX, y: window.scrollY };
  };

  const restore = (root, p) => {
    for (const f of p.folds) {
      const el = document.getElementById(f.id);
      if (el) el.open = f.open;
    }
    for (const f of p.fields) {
      const el = document.getElementById(f.id);
      if (!el) continue;
      el.value = f.value;
    }
    for (const r of p.regions) {
      const el = [...root.querySelectorAll("[role=region]")].find((e) => e.getAttribute("aria-label") === r.name);
      if (!el) continue;
      el.scrollLeft = r.left;
      if (r.focused) el.focus({ preventScroll: true });
    }
    if (p.key) {
      const el = root.querySelector(p.key);
      if (el) {
        el.focus({ preventScroll: true });
        const f = p.fields.find((x) => `#${CSS.escape(x.id)}` === p.key);
        if (f && f.from !== null && el.setSelectionRange) {
          try { el.setSelectionRange(f.from, f.to); } catch { /* not a text field */ }
        }
      }
    }
    window.scrollTo(p.x, p.y);
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { "Notafter-Fragment": "main" }, cache: "no-store", redirect: "error" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (!next) throw new Error("no main part");
      const old = main();
      learn(next);
      // Somebody who selects text or has a form half filled in elsewhere keeps it; the next change comes soon enough.
      const selected = window.getSelection();
      if (selected && !selected.isCollapsed && old.contains(selected.anchorNode)) return;
      const p = place(old);
      const news = old.dataset.open !== next.dataset.open || old.dataset.mood !== next.dataset.mood;
      old.replaceWith(next);
      restore(next, p);
      document.documentElement.dataset.mood = next.dataset.mood;
      document.title = next.dataset.title;
      const badge = document.getElementById("open-count");
      if (badge) badge.textContent = next.dataset.open;
      const asOf = document.getElementById("as-of");
      if (asOf) { asOf.dateTime = next.dataset.now; asOf.textContent = new Date(next.dataset.now).toUTCString().replace(/^\w+, 0?/, "").replace("GMT", "UTC"); }
      if (news) {
        const say = next.querySelector("h1");
        said.textContent = `${say ? say.textContent : ""} Open incidents: ${next.dataset.open}.`;
      }
      document.dispatchEvent(new CustomEvent("notafter:refreshed"));
    } catch {
      state.textContent = "not live: the server does not answer";
      state.className = "off";
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };

  // A page that answers a form is the answer to that form; fetching its address again would show something else.
  const refreshable = () => main() && main().querySelector(".result, .made, .problem, .lookform") === null;

  let source = null;
  const open = () => {
    if (!events || source || document.hidden) return;
    source = new EventSource(events);
    source.addEventListener("hello", () => { state.textContent = "live"; state.className = "on"; if (refreshable()) refresh(); });
    source.addEventListener("change", () => { if (refreshable()) refresh(); });
    source.addEventListener("error", () => {
      state.textContent = "not live: trying again";
      state.className = "off";
      if (source && source.readyState === EventSource.CLOSED) { source = null; setTimeout(open, 15000); }
    });
  };
  const close = () => { if (source) { source.close(); source = null; } };

  // A hidden page holds no connection: browsers allow few of them to one server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);

  if (main()) learn(main());
  setInterval(retime, 1000);
  open();
})();

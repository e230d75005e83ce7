// Shows a page anew when something happens in the house (server-sent events). What a
// person is typing, reading or being asked stays as it is, and what was typed before.

// isTick reports whether a field is one that is on or off.
const isTick = (f) => f.type === "checkbox" || f.type === "radio";

// changed reports whether a field is not as the server wrote it.
function changed(f) {
  if (isTick(f)) return f.checked !== f.defaultChecked;
  if (f.tagName === "SELECT") return f.selectedIndex !== Math.max([...f.options].findIndex((o) => o.defaultSelected), 0);
  return f.type !== "hidden" && f.type !== "file" && f.value !== f.defaultValue;
}

// fields are those of a part of the page, each under what it is found by in another one:
// its form, name and kind, and which of those it is.
function fields(part) {
  const all = new Map();
  for (const f of part.querySelectorAll("input, select, textarea")) {
    const name = [f.form?.getAttribute("action"), f.name, f.type, isTick(f) ? f.value : ""].join("\n");
    let n = 0;
    while (all.has(name + n)) n++;
    all.set(name + n, f);
  }
  return all;
}

// keep puts what was changed in the fields of an old part into those of a fresh one.
function keep(old, fresh) {
  const next = fields(fresh);
  for (const [name, f] of fields(old)) {
    const to = next.get(name);
    if (!to || !changed(f)) continue;
    if (isTick(f)) to.checked = f.checked;
    else to.value = f.value;
  }
}

// refresh replaces the page's content by the server's newest. It says that nobody asked for
// it, so that a page which is left open keeps nobody seated. Where the page is not theirs
// any more, who is watching is asked.
export async function refresh() {
  const res = await fetch(location.href, { headers: { "Lares-Refresh": "1" } });
  if (res.redirected) { location.assign(res.url); return; }
  if (!res.ok) return;
  const next = new DOMParser().parseFromString(await res.text(), "text/html");
  for (const part of ["main", ".top nav"]) {
    const [old, fresh] = [document.querySelector(part), next.querySelector(part)];
    if (!old || !fresh) continue;
    keep(old, fresh);
    old.replaceChildren(...fresh.childNodes);
  }
}

// busy reports whether somebody is in the middle of something.
function busy() {
  return document.querySelector("dialog[open], [data-keep], main details[open]") !== null
    || document.activeElement.matches("main input, main select, main textarea");
}

let waits = false;
function again() {
  if (busy()) { waits = true; return; }
  waits = false;
  refresh();
}

if (!document.getElementById("player")) {
  const events = new EventSource("/api/v1/events");
  for (const kind of ["pairings", "library", "waits", "stopped"]) events.addEventListener(kind, again);
  events.addEventListener("protecting", () => { if (document.querySelector("main [data-protecting]")) again(); });
  document.addEventListener("focusout", () => setTimeout(() => { if (waits) again(); }, 200));
  document.addEventListener("toggle", () => { if (waits) again(); }, true);
  // Between two streams something may have happened, and who is not seated any more gets none.
  let opened = false;
  events.addEventListener("open", () => { if (opened) again(); opened = true; });
  events.addEventListener("error", () => { if (events.readyState === EventSource.CLOSED) again(); });
  addEventListener("pagehide", () => events.close());
}

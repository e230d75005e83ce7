// Shows a page anew when something happens in the house (server-sent events). What a
// person is typing, reading or being asked stays as it is.

// refresh replaces the page's content by the server's newest.
export async function refresh() {
  const res = await fetch(location.href);
  if (!res.ok) return;
  const next = new DOMParser().parseFromString(await res.text(), "text/html");
  for (const part of ["main", ".top nav"]) {
    const [old, fresh] = [document.querySelector(part), next.querySelector(part)];
    if (old && fresh) old.replaceChildren(...fresh.childNodes);
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
  document.addEventListener("focusout", () => setTimeout(() => { if (waits) again(); }, 200));
  document.addEventListener("toggle", () => { if (waits) again(); }, true);
  addEventListener("pagehide", () => events.close());
}

// Actions of the house's pages: play, stop, approve, refuse, remove, and
// reloading what changed. Everything said to people comes from the server.

const toast = document.getElementById("toast");
const ask = document.getElementById("ask");

function say(text) {
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.hidden = true; }, 8000);
}

// call asks the API; a problem document becomes an Error with its members.
export async function call(method, path, body) {
  const init = { method, headers: {} };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const res = await fetch(path, init);
  if (res.status === 204) return null;
  const value = await res.json().catch(() => ({ detail: res.statusText }));
  if (!res.ok) throw Object.assign(new Error((value.words || [value.detail]).join(" ")), value);
  return value;
}

function confirmed(lines) {
  const list = document.getElementById("ask-list");
  list.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  ask.returnValue = "";
  ask.showModal();
  return new Promise((done) => ask.addEventListener("close", () => done(ask.returnValue === "yes"), { once: true }));
}
document.getElementById("ask-yes").addEventListener("click", () => ask.close("yes"));
document.getElementById("ask-no").addEventListener("click", () => ask.close("no"));

// hdcp is what told says within a second: Firefox does not answer for a key system
// that it would have to fetch first. No answer is no protection.
const hdcp = () => Promise.race([told(), new Promise((done) => { setTimeout(done, 1000, ""); })]);

// told is the newest HDCP version that is on everywhere this browser shows video,
// as far as one of its key systems says so. Clear Key itself is not asked: it says
// yes to everything, whatever is plugged in.
async function told() {
  const config = [{ initDataTypes: ["cenc"], videoCapabilities: [{ contentType: 'video/mp4; codecs="avc1.42E01E"' }] }];
  for (const system of ["com.widevine.alpha", "com.microsoft.playready.recommendation"]) {
    try {
      const keys = await (await navigator.requestMediaKeySystemAccess(system, config)).createMediaKeys();
      for (const minHdcpVersion of ["2.3", "2.2", "1.0"]) {
        if (await keys.getStatusForPolicy({ minHdcpVersion }) === "usable") return minHdcpVersion;
      }
      return "";
    } catch { /* not in this browser, or it does not tell */ }
  }
  return "";
}

async function play(button) {
  const lines = button.dataset.confirm ? button.dataset.confirm.split("\n") : [];
  if (lines.length && !(await confirmed(lines))) return;
  const body = { content: button.dataset.play, confirm: lines.length > 0, again: "again" in button.dataset, hdcp: await hdcp() };
  try {
    location.href = (await call("POST", "/api/v1/sessions", body)).watch;
  } catch (err) {
    if (err.code !== "needs_confirm") throw err;
    if (!(await confirmed(err.words || [err.detail]))) return;
    location.href = (await call("POST", "/api/v1/sessions", { ...body, confirm: true })).watch;
  }
}

const actions = [
  ["[data-play]", play],
  ["[data-stop]", (b) => call("DELETE", `/api/v1/sessions/${b.dataset.stop}`)],
  ["[data-approve]", (b) => call("POST", `/api/v1/pairings/${b.dataset.approve}/approve`, { code: b.dataset.code })],
  ["[data-refuse]", (b) => call("DELETE", `/api/v1/pairings/${b.dataset.refuse}`)],
  ["[data-remove]", async (b) => confirm(b.dataset.ask) && call("DELETE", `/api/v1/devices/${b.dataset.remove}`)],
];

document.addEventListener("click", async (event) => {
  for (const [selector, act] of actions) {
    const button = event.target.closest(selector);
    if (!button) continue;
    button.disabled = true;
    try {
      await act(button);
      if (act !== play) await refresh();
    } catch (err) {
      say(err.message);
    } finally {
      button.disabled = false;
    }
    return;
  }
});

// refresh replaces the page's content by the server's newest, keeping focus
// where it was as well as it can.
async function refresh() {
  const res = await fetch(location.href);
  if (!res.ok) return;
  const next = new DOMParser().parseFromString(await res.text(), "text/html");
  document.querySelector("main").replaceChildren(...next.querySelector("main").childNodes);
  document.querySelector("nav").replaceChildren(...next.querySelector("nav").childNodes);
}

if (!document.getElementById("player")) {
  const events = new EventSource("/api/v1/events");
  const again = () => { if (!ask.open && !document.querySelector("details[open], [data-keep]")) refresh(); };
  for (const kind of ["pairings", "library", "stopped"]) events.addEventListener(kind, again);
  addEventListener("pagehide", () => events.close());
}

// What forms alone cannot do on the house's pages: playing, which says what the screen
// protects, and asking before something changes. Everything said to people comes from
// the server.
import "./live.js";

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

// confirmed shows what has to be known and resolves to the answer. Without words of its
// own the question is whether to begin a film.
function confirmed(lines, title, yes) {
  const list = document.getElementById("ask-list");
  list.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  document.getElementById("ask-title").textContent = title || ask.dataset.title;
  document.getElementById("ask-yes").textContent = yes || ask.dataset.yes;
  list.hidden = lines.length === 0;
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

// here asks whether what plays on another screen shall go on on this one.
const here = (lines) => confirmed(lines, ask.dataset.continue, ask.dataset.continueYes);

// play begins a title. What has to be known first is asked once each: that it starts
// something, and that it stops on another screen.
async function play(button) {
  const lines = button.dataset.confirm ? button.dataset.confirm.split("\n") : [];
  const takeover = "takeover" in button.dataset;
  if (lines.length && !(await (takeover ? here : confirmed)(lines))) return;
  const body = { content: button.dataset.play, confirm: lines.length > 0 && !takeover, again: "again" in button.dataset, hdcp: await hdcp(), takeover };
  for (;;) {
    try {
      location.href = (await call("POST", "/api/v1/sessions", body)).watch;
      return;
    } catch (err) {
      const words = err.words || [err.detail];
      if (err.code === "needs_confirm" && !body.confirm) {
        if (!(await confirmed(words))) return;
        body.confirm = true;
      } else if (err.code === "in_use" && !body.takeover) {
        if (!(await here(words))) return;
        body.takeover = true;
      } else {
        throw err;
      }
    }
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-play]");
  if (!button) return;
  button.disabled = true;
  try {
    await play(button);
  } catch (err) {
    say(err.message);
  } finally {
    button.disabled = false;
  }
});

// A form that changes much asks first; its button's words are the yes.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.ask || form.dataset.asked) return;
  event.preventDefault();
  const button = event.submitter || form.querySelector("button");
  if (!(await confirmed([], form.dataset.ask, button.textContent))) return;
  form.dataset.asked = "yes";
  form.requestSubmit(button);
});

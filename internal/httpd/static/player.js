// The player page: one link-encrypted stream of the house. The house decides;
// this page shows the picture and stops at once when the house says so.
/* global shaka */
import { ways, lacks } from "./ways.js";

const root = document.getElementById("player");
const video = document.getElementById("video");
const state = document.getElementById("state");
const session = root.dataset.session;
const say = (key) => root.getAttribute(`data-say-${key}`); // the page has them
let player = null;
let ended = false;

// end takes the picture away and shows why.
async function end(words) {
  if (ended) return;
  ended = true;
  events.close();
  video.pause();
  video.hidden = true;
  document.getElementById("reason").textContent = words;
  document.getElementById("curtain").hidden = false;
  document.getElementById("stop").hidden = true;
  state.textContent = say("stopped");
  root.dataset.ended = words;
  document.getElementById("reason").focus();
  if (player) await player.unload().catch(() => {});
  else video.removeAttribute("src");
}

const events = new EventSource(`/api/v1/events?session=${session}`);
events.addEventListener("stopped", (event) => {
  const data = JSON.parse(event.data);
  if (data.session === session) end(data.words);
});

// whyEnded asks the house what happened when the player failed.
async function whyEnded(fallback) {
  try {
    const res = await fetch(`/api/v1/sessions/${session}`);
    if (!res.ok) return (await res.json()).detail;
  } catch { /* the house is off */ }
  return fallback;
}

// leave gives the session back: nobody watches it here.
function leave() {
  return fetch(`/api/v1/sessions/${session}?by=player`, { method: "DELETE", keepalive: true }).catch(() => {}); // the house is off
}

// unable says that nothing can be seen here, and what to do instead.
async function unable(words) {
  if (ended) return;
  document.getElementById("unable").hidden = false;
  document.getElementById("here").hidden = isSecureContext;
  const here = new URL(root.dataset.title, location.href);
  here.hostname = "localhost";
  Object.assign(document.getElementById("local"), { href: here.href, textContent: here.host });
  await end(words);
  await leave();
}

async function failed(error) {
  const code = error.code ?? error.name;
  console.error(`player error ${code}`);
  const words = say("failed").replace("{0}", code);
  const why = await whyEnded(words);
  await (why === words ? unable(words) : end(why));
}

document.getElementById("stop").addEventListener("click", () => {
  fetch(`/api/v1/sessions/${session}`, { method: "DELETE" });
});
addEventListener("pagehide", () => {
  if (!ended) leave();
});
video.addEventListener("playing", () => { state.textContent = say("playing"); });
video.addEventListener("pause", () => { if (!ended) state.textContent = say("paused"); });
video.addEventListener("waiting", () => { if (!ended) state.textContent = say("waiting"); });
video.addEventListener("ended", () => { if (!ended) state.textContent = say("end"); });

// told is where the house was told that the picture is, in seconds: from there another
// screen goes on.
let told = 0;
function tell() {
  if (ended || Math.abs(video.currentTime - told) < 1) return;
  told = video.currentTime;
  fetch(`/api/v1/sessions/${session}/position`, {
    method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ms: Math.round(told * 1000) }),
  }).catch(() => {}); // the house is off, and says so itself
}
video.addEventListener("timeupdate", () => { if (Math.abs(video.currentTime - told) >= 5) tell(); });
for (const what of ["pause", "seeked"]) video.addEventListener(what, tell);

// subtitles offers what the film has.
function subtitles() {
  const select = document.getElementById("text");
  const tracks = player.getTextTracks();
  for (const track of tracks) select.add(new Option(track.label || track.language, track.id));
  document.getElementById("texts").hidden = tracks.length === 0;
  select.addEventListener("change", () => {
    player.selectTextTrack(player.getTextTracks().find((track) => String(track.id) === select.value) ?? null);
  });
}

// keepInit makes a reset of a source buffer that is at rest do nothing. WebKitGTK forgets
// the initialization segment with it, and what is appended here are whole segments.
function keepInit() {
  const { abort } = SourceBuffer.prototype;
  SourceBuffer.prototype.abort = function whileUpdating() { if (this.updating) abort.call(this); };
}

// begin plays by one way, and fails where that does not go.
const begin = {
  async pieces(way) {
    if (way.name === "playlist") keepInit();
    player = new shaka.Player();
    await player.attach(video);
    player.configure({
      drm: { servers: { "org.w3.clearkey": new URL(root.dataset.license, location.href).href } },
      streaming: { bufferingGoal: 1, rebufferingGoal: 0.5, bufferBehind: 20 },
    });
    // Until there is a picture nothing more than its beginning is asked for.
    video.addEventListener("playing", () => player?.configure("streaming.bufferingGoal", 10), { once: true });
    await player.load(way.from, Number(root.dataset.from) / 1000 || null);
    player.addEventListener("error", (event) => failed(event.detail));
    subtitles();
  },
  native(way) {
    return new Promise((done, not) => {
      video.addEventListener("loadedmetadata", done, { once: true });
      video.addEventListener("error", () => not(video.error), { once: true });
      video.src = way.from;
    }).then(() => {
      video.currentTime = Number(root.dataset.from) / 1000;
      video.addEventListener("error", () => failed(video.error));
    });
  },
};

// start goes the best way that this browser has, and the next one where it fails.
async function start() {
  if (globalThis.shaka) shaka.polyfill.installAll();
  let last = null;
  for await (const way of ways(video, root.dataset)) {
    if (ended) return;
    try {
      await begin[way.by](way);
      root.dataset.way = way.name;
      await video.play().catch(() => { state.textContent = say("ready"); });
      return;
    } catch (error) {
      last = error;
      await player?.destroy().catch(() => {});
      player = null;
    }
  }
  if (last) await failed(last);
  else await unable(say(await lacks(video, root.dataset)));
}
start().catch(failed);
// A picture that does not come is not waited for in silence.
setTimeout(() => { if (!ended && video.readyState < 2) state.textContent = say("late"); }, 30000);

// The player page: one link-encrypted stream of the house. The house decides;
// this page shows the picture and stops at once when the house says so.
/* global shaka */

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

async function failed(error) {
  console.error(`player error ${error.code}`);
  end(await whyEnded(say("failed").replace("{0}", error.code)));
}

document.getElementById("stop").addEventListener("click", () => {
  fetch(`/api/v1/sessions/${session}`, { method: "DELETE" });
});
addEventListener("pagehide", () => {
  if (!ended) fetch(`/api/v1/sessions/${session}?by=player`, { method: "DELETE", keepalive: true });
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

async function start() {
  shaka.polyfill.installAll();
  if (!shaka.Player.isBrowserSupported()) {
    end(say("unable"));
    return;
  }
  player = new shaka.Player();
  await player.attach(video);
  player.addEventListener("error", (event) => failed(event.detail));
  player.configure({
    drm: { servers: { "org.w3.clearkey": new URL(root.dataset.license, location.href).href } },
    streaming: { bufferingGoal: 1, rebufferingGoal: 0.5, bufferBehind: 20 },
  });
  // Until there is a picture nothing more than its beginning is asked for.
  video.addEventListener("playing", () => player.configure("streaming.bufferingGoal", 10), { once: true });
  await player.load(root.dataset.manifest, Number(root.dataset.from) / 1000 || null);
  subtitles();
  await video.play().catch(() => { state.textContent = say("ready"); });
}
start().catch(failed);

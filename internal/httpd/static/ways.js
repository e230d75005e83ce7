// How a browser can get a film of the house, by what it has, and not by what it is
// called. Source: docs/spec/home-api.md, "Ways to the picture".
/* global shaka */

// fed reports whether a film can be handed to the video element in pieces.
const fed = () => Boolean(globalThis.shaka && (globalThis.MediaSource || globalThis.ManagedMediaSource) && shaka.Player.isBrowserSupported());

// opens reports whether the browser has the key system of the house's streams.
async function opens() {
  const config = [{
    initDataTypes: ["cenc"],
    videoCapabilities: [{ contentType: 'video/mp4; codecs="avc1.42E01E"' }], audioCapabilities: [{ contentType: 'audio/mp4; codecs="mp4a.40.2"' }],
  }];
  try {
    await navigator.requestMediaKeySystemAccess("org.w3.clearkey", config);
    return true;
  } catch {
    return false;
  }
}

// reads reports whether the browser's own player takes a playlist.
const reads = (video) => video.canPlayType("application/vnd.apple.mpegurl") !== "";

// lent reports whether the title may be played without a key system.
const lent = async (playlist) => (await fetch(playlist).catch(() => ({ ok: false }))).ok;

// ways gives those that this browser has to a session, best first: the stream as it is
// with the browser's key system; a playlist whose pieces this page opens; the same in the
// browser's own player. by is a function of player.js. The playlist is asked for only
// where the way before it does not go.
export async function* ways(video, session) {
  if (fed() && await opens()) yield { name: "keys", by: "pieces", from: session.manifest };
  const scripted = fed() && Boolean(globalThis.crypto?.subtle);
  if (!scripted && !reads(video) || !(await lent(session.playlist))) return;
  if (scripted) yield { name: "playlist", by: "pieces", from: session.playlist };
  if (reads(video)) yield { name: "native", by: "native", from: session.playlist };
}

// lacks says what is missing where there is no way: the name of a message.
export async function lacks(video, session) {
  if (!isSecureContext) return "insecure";
  if (!fed() && !reads(video)) return "unfed";
  return await lent(session.playlist) ? "unable" : "keyless";
}

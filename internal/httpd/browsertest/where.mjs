// Looks how a title of a running house plays in a real browser, or what its page says
// where it does not, and prints one line of JSON. Used by package browsertest.
// options: browser, program, modules, binary (drive.mjs, webkit.mjs); url (of the house);
// shot (file for a picture of the page); without (what the browser is made to lack:
// "keys", "pieces", "native", "secure").
import { open } from "./drive.mjs";

const opt = JSON.parse(process.argv[2]);
const out = { console: [], help: [] };

// lack takes away what a browser might not have.
function lack(without) {
  const hide = (on, name, value) => Object.defineProperty(on, name, { value, configurable: true });
  if (without.includes("keys")) hide(Navigator.prototype, "requestMediaKeySystemAccess", undefined);
  if (without.includes("pieces")) for (const name of ["MediaSource", "ManagedMediaSource", "WebKitMediaSource"]) hide(window, name, undefined);
  if (without.includes("native")) hide(HTMLMediaElement.prototype, "canPlayType", () => "");
  if (without.includes("secure")) {
    hide(window, "isSecureContext", false);
    hide(Crypto.prototype, "subtle", undefined);
  }
}

// ended, or a second was seen
const settled = () => document.getElementById("player")?.dataset.ended || document.getElementById("video")?.currentTime > 1;
// or it is ready to be begun
const waiting = () => {
  const v = document.getElementById("video");
  return document.getElementById("player")?.dataset.ended || v?.currentTime > 1 || v?.paused && v.readyState > 1 && document.getElementById("player").dataset.way;
};

let page;
try {
  page = await open(opt, out.console, opt.without && `(${lack})(${JSON.stringify(opt.without)})`);
  await page.goto(opt.url);
  await page.wait(() => document.querySelector("[data-play]") !== null && document.readyState === "complete", null);
  await page.click("[data-play]");
  await page.wait(waiting, null, 40000);
  if (!(await page.evaluate(settled))) { // it waits for a person, as browsers do where there is sound
    await page.click("#video");
    await page.evaluate(() => document.getElementById("video").play());
    await page.wait(settled, null, 20000);
  }
  await page.picture(opt.shot);
  Object.assign(out, await page.evaluate(() => {
    const v = document.getElementById("video"), root = document.getElementById("player");
    const shown = (e) => e.getBoundingClientRect().height > 0;
    const r = v.getBoundingClientRect();
    return {
      way: root.dataset.way || "", at: v.currentTime, width: v.videoWidth, height: v.videoHeight, encrypted: Boolean(v.mediaKeys), said: root.dataset.ended || "",
      curtain: shown(document.getElementById("curtain")), help: [...document.querySelectorAll("#unable li")].filter(shown).map((li) => li.innerText),
      box: { x: Math.round(r.x), y: Math.round(r.y), width: Math.round(r.width), height: Math.round(r.height) },
    };
  }));
} catch (err) {
  out.error = String((err && err.stack) || err);
  if (page) out.error += "\n" + await page.evaluate(() => { const v = document.getElementById("video"); return JSON.stringify({ at: location.pathname, state: document.getElementById("state")?.innerText, way: document.getElementById("player")?.dataset.way, ready: v?.readyState, net: v?.networkState, error: v?.error?.message, time: v?.currentTime, paused: v?.paused }); }).catch(String);
} finally {
  if (page) await page.close();
}
console.log(JSON.stringify(out));

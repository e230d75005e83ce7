// Plays packed folders in a real headless browser, with shaka-player and with hls.js,
// or a title of a running house, and prints one line of JSON: what happened. Used by
// package browsertest.
// options: browser, program, modules (drive.mjs); url; shot (file for a picture);
// either house (a title's content ID) or player ("shaka" or "hls.js") and src.
import { open, stopped } from "./drive.mjs";

const opt = JSON.parse(process.argv[2]);
const out = { console: [], stops: [] };

const position = () => document.getElementById("video").currentTime;
const reached = (t) => window.failed || document.getElementById("player")?.dataset.ended || document.getElementById("video").currentTime >= t;
const why = () => window.failed || document.getElementById("player")?.dataset.ended || "";

// state is what there is to know when it did not go on.
function state() {
  const v = document.getElementById("video"), p = window.player;
  const ranges = [...Array(v.buffered.length).keys()].map((i) => [v.buffered.start(i), v.buffered.end(i)]);
  return JSON.stringify({
    at: v.currentTime, ready: v.readyState, paused: v.paused, size: [v.videoWidth, v.videoHeight], buffered: ranges, error: v.error && v.error.message,
    keys: p?.getKeyStatuses?.(), tracks: p?.getVariantTracks?.().map((t) => [t.height, t.active]),
  });
}

// plays waits until the film is at a time, or throws what the page says.
async function plays(page, t) {
  await page.wait(reached, t, 40000);
  const failed = await page.evaluate(why);
  if (failed) throw new Error(`not at ${t} s: ${failed}`);
}

async function seek(page, t) {
  await page.evaluate((to) => { document.getElementById("video").currentTime = to; }, t);
  await plays(page, t + 0.5);
  out.sought = await page.evaluate(position);
}

async function look(page) {
  Object.assign(out, await page.evaluate(() => {
    const v = document.getElementById("video"), r = v.getBoundingClientRect();
    return { width: v.videoWidth, height: v.videoHeight, encrypted: v.mediaKeys !== null,
      box: { x: Math.round(r.x), y: Math.round(r.y), width: Math.round(r.width), height: Math.round(r.height) } };
  }));
  await page.picture(opt.shot);
}

// bare plays a folder with a player and nothing else.
async function bare(page) {
  await page.goto(opt.url);
  await page.evaluate((o) => window.begin(o), { player: opt.player, src: opt.src });
  await plays(page, 1);
  out.heights = await page.evaluate(() => window.heights());
  out.texts = await page.evaluate(() => window.texts());
  await page.evaluate(() => window.best());
  if (out.texts.length) await page.evaluate(() => window.showText());
  await seek(page, 25);
  if (out.texts.length) {
    await page.wait(() => window.failed || window.cues().length > 0, null, 20000);
    out.cues = await page.evaluate(() => window.cues());
  }
  await page.wait((h) => window.failed || document.getElementById("video").videoHeight === h, Math.max(...out.heights), 30000);
  await look(page);
  await seek(page, 50); // another key, where keys rotate
}

// house plays a title of a house, has it stopped, and goes on: three times.
async function house(page) {
  for (let n = 0; n < 3; n++) {
    await page.goto(opt.url);
    await page.click(`[data-play="${opt.house}"]`);
    await page.wait(() => /\/watch\//.test(location.pathname) && document.getElementById("video") !== null, null);
    await plays(page, 0.5);
    await seek(page, [25, 5, 45][n]);
    if (n === 0) {
      await page.wait(() => document.querySelector("#text option:nth-child(2)") !== null, null);
      await page.evaluate(() => {
        const text = document.getElementById("text");
        text.value = text.options[1].value;
        text.dispatchEvent(new Event("change"));
      });
      await page.wait(() => [...document.getElementById("video").textTracks].some((t) => t.activeCues && t.activeCues.length > 0), null, 20000);
      out.cues = await page.evaluate(() => [...document.getElementById("video").textTracks].flatMap((t) => [...(t.activeCues || [])].map((c) => c.text)));
      await look(page);
    }
    out.stops.push(await page.evaluate(stopped, new URL(page.url()).pathname.split("/").pop()));
    const left = await page.evaluate(() => { const v = document.getElementById("video"); return { paused: v.paused, hidden: v.hidden }; });
    if (!left.paused || !left.hidden) throw new Error("the picture is still there");
  }
}

let page;
try {
  page = await open(opt, out.console);
  await (opt.house ? house(page) : bare(page));
} catch (err) {
  out.error = String((err && err.stack) || err);
  if (page && opt.shot) await page.picture(opt.shot).catch(() => {});
  if (page) out.error += "\n" + await page.evaluate(state).catch(String);
} finally {
  if (page) await page.close();
}
console.log(JSON.stringify(out));

// Plays a title of a running house in real headless Chromium and prints one
// line of JSON: what happened. Used by package browsertest; by hand:
//   node internal/httpd/browsertest/play.mjs '{"url":"http://127.0.0.1:7710/","chromium":"/usr/bin/chromium","shot":"/tmp/shot.png"}'
// options: url (of the house), chromium, shot (file for a picture of the
// playing page), title (content ID; default the first that plays), seconds (to
// play; default 3), stop (default true: stop the session from the API and wait
// for the picture to go), pages (folder for pictures of every page),
// hdcp (version that a key
// system says is on), modules (folder in which node_modules/playwright-core is).
import { createRequire } from "node:module";
import { join } from "node:path";
import { stopped } from "./drive.mjs";

const opt = { seconds: 3, stop: true, ...JSON.parse(process.argv[2]) };
const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
const { chromium } = require("playwright-core");

const out = { steps: [], console: [] };
const began = Date.now();
const step = (name) => out.steps.push({ name, ms: Date.now() - began });

async function main() {
  const browser = await chromium.launch({
    executablePath: opt.chromium, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
  });
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    if (opt.hdcp) await context.addInitScript(tells, opt.hdcp);
    const page = await context.newPage();
    page.on("console", (m) => { if (m.type() === "error") out.console.push(m.text()); });
    page.on("pageerror", (e) => out.console.push(String(e)));
    await page.goto(opt.url);
    step("library");
    if (opt.pages) await pictures(context);
    await play(page);
    if (opt.stop) await stop(page);
  } finally {
    await browser.close();
  }
}

// tells gives the page a key system that knows of HDCP, as some browsers have one.
function tells(version) {
  const real = navigator.requestMediaKeySystemAccess.bind(navigator);
  const keys = { getStatusForPolicy: async ({ minHdcpVersion }) => (parseFloat(minHdcpVersion) <= parseFloat(version) ? "usable" : "output-restricted") };
  navigator.requestMediaKeySystemAccess = async (system, config) =>
    (system === "com.widevine.alpha" ? { createMediaKeys: async () => keys } : real(system, config));
}

async function play(page) {
  const selector = opt.title ? `[data-play="${opt.title}"]` : "[data-play]";
  out.text = await page.locator("main").innerText();
  await page.locator(selector).first().click({ timeout: 10000 });
  const dialog = page.locator("#ask-yes");
  await Promise.race([page.waitForURL(/\/watch\//, { timeout: 15000 }), dialog.waitFor({ timeout: 15000 })]);
  if (!/\/watch\//.test(page.url())) {
    out.confirmed = await page.locator("#ask-list").innerText();
    await dialog.click();
    await page.waitForURL(/\/watch\//, { timeout: 15000 });
  }
  out.session = new URL(page.url()).pathname.split("/").pop();
  step("player");
  const position = () => page.evaluate(() => document.getElementById("video").currentTime);
  await page.waitForFunction(() => document.getElementById("video").currentTime > 0.2 || document.getElementById("player").dataset.ended, null, { timeout: 30000 });
  out.ended = await page.evaluate(() => document.getElementById("player").dataset.ended || "");
  if (out.ended) return;
  out.from = await position();
  await page.waitForFunction((t) => document.getElementById("video").currentTime >= t, out.from + opt.seconds, { timeout: 1000 * opt.seconds + 30000 });
  out.to = await position();
  step("played");
  Object.assign(out, await page.evaluate(() => {
    const v = document.getElementById("video");
    const r = v.getBoundingClientRect();
    return { width: v.videoWidth, height: v.videoHeight, encrypted: v.mediaKeys !== null,
      box: { x: Math.round(r.x), y: Math.round(r.y), width: Math.round(r.width), height: Math.round(r.height) } };
  }));
  if (opt.shot) {
    // EME video is not readable through a canvas; the page's picture shows it.
    await page.screenshot({ path: opt.shot });
    step("picture");
  }
}

async function stop(page) {
  if (out.ended) return;
  ({ ms: out.stopMS, lag: out.lagMS } = await page.evaluate(stopped, out.session));
  out.after = await page.evaluate(() => {
    const v = document.getElementById("video");
    return { paused: v.paused, hidden: v.hidden, loaded: v.readyState, reason: document.getElementById("reason").innerText };
  });
  step("stopped");
}

async function pictures(context) {
  const sizes = [["wide", 1280, 800], ["phone", 390, 844]];
  for (const scheme of ["light", "dark"]) {
    for (const [name, width, height] of sizes) {
      const page = await context.newPage();
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: scheme });
      for (const path of ["/", "/devices", "/sessions", "/health"]) {
        await page.goto(new URL(path, opt.url).href);
        await page.screenshot({ path: join(opt.pages, `${path.slice(1) || "library"}-${name}-${scheme}.png`) });
        out.overflow = out.overflow || await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      }
      await page.close();
    }
  }
  step("pages");
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

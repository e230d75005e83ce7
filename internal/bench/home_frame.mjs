// Measures, in one real headless Chromium, how long it is from the press of a button
// to the first frame of a film that is shown: through a house, and the same film from
// a plain server, in turns. Prints one line of JSON: milliseconds by the page's clock.
// options: chromium, core (folder of playwright-core), rounds, house and clear
// (addresses of pages with an element [data-play]).
import { createRequire } from "node:module";
import { join } from "node:path";

const opt = JSON.parse(process.argv[2]);
const { chromium } = createRequire(join(opt.core, "package.json"))(opt.core);
const out = { house: [], clear: [] };

// watch runs first in every page: it notes when the page's video shows its first frame.
function watch() {
  const seen = new MutationObserver(() => {
    const video = document.querySelector("video");
    if (!video) return;
    seen.disconnect();
    video.muted = true;
    video.requestVideoFrameCallback(() => { window.firstFrame = performance.timeOrigin + performance.now(); });
  });
  seen.observe(document, { childList: true, subtree: true });
}

async function once(page, url) {
  await page.goto(url);
  await page.waitForTimeout(200);
  const from = await page.evaluate(() => {
    const now = performance.timeOrigin + performance.now();
    document.querySelector("[data-play]").click();
    return now;
  });
  await page.waitForURL(/\/watch/);
  const shown = await (await page.waitForFunction(() => window.firstFrame, null, { timeout: 30000 })).jsonValue();
  if (await page.locator("#stop").count()) {
    await page.click("#stop");
    await page.locator("#player[data-ended]").waitFor();
  }
  return shown - from;
}

let browser;
try {
  browser = await chromium.launch({
    executablePath: opt.chromium, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await context.addInitScript(watch);
  const page = await context.newPage();
  for (let n = -1; n < opt.rounds; n++) { // the first of each is for warmth
    for (const name of n % 2 ? ["house", "clear"] : ["clear", "house"]) {
      const ms = await once(page, opt[name]);
      if (n >= 0) out[name].push(ms);
    }
  }
} catch (err) {
  out.error = String((err && err.stack) || err);
} finally {
  if (browser) await browser.close();
}
console.log(JSON.stringify(out));

// Plays one of the household's own films of a running house in real headless Chromium
// and prints one line of JSON: what came of it. Used by package browsertest; by hand:
//   node internal/httpd/browsertest/film.mjs '{"url":"http://127.0.0.1:7710/","title":"Holidays","chromium":"/usr/bin/chromium"}'
// options: url (of the house), title, done (a file that is made when it plays), chromium,
// modules (folder in which node_modules/playwright-core is).
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const opt = JSON.parse(process.argv[2]);
const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
const { chromium } = require("playwright-core");

const out = { console: [] };

async function main() {
  const browser = await chromium.launch({
    executablePath: opt.chromium, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    page.on("console", (m) => { if (m.type() === "error") out.console.push(m.text()); });
    page.on("pageerror", (e) => out.console.push(String(e)));
    await page.goto(opt.url);
    const card = page.locator(".card", { hasText: opt.title });
    out.kind = await card.locator(".kind").innerText();
    await card.locator("a.play").click();
    await page.waitForFunction(() => document.querySelector("video")?.readyState >= 1);
    out.from = await page.evaluate(() => {
      const video = document.querySelector("video");
      video.dataset.mark = "same";
      video.muted = true;
      video.currentTime = 30;
      return video.play().then(() => video.currentTime);
    });
    if (opt.done) writeFileSync(opt.done, "plays");
    await page.waitForTimeout(2000);
    Object.assign(out, await page.evaluate(() => {
      const video = document.querySelector("video");
      return { to: video.currentTime, width: video.videoWidth, again: video.dataset.mark !== "same" };
    }));
  } finally {
    await browser.close();
  }
}

try {
  await main();
} catch (err) {
  out.error = String(err);
}
console.log(JSON.stringify(out));

// Plays a title of a running house in one window of real headless Chromium and continues
// it in a second one, and prints one line of JSON: what happened. Used by package
// browsertest. options: url (of the house), chromium, modules (folder in which
// node_modules/playwright-core is).
import { createRequire } from "node:module";
import { join } from "node:path";

const opt = JSON.parse(process.argv[2]);
const { chromium } = createRequire(join(opt.modules, "package.json"))("playwright-core");
const out = {};

const playing = (page, t) => page.waitForFunction((at) => document.getElementById("video")?.currentTime >= at, t, { timeout: 30000 });

async function main(browser) {
  const [first, second] = await Promise.all([0, 1].map(async () => (await browser.newContext()).newPage()));
  await Promise.all([first.goto(opt.url), second.goto(opt.url)]);
  await first.click("[data-play]");
  await playing(first, 0.2);
  const told = first.waitForRequest((r) => r.method() === "PUT" && r.postDataJSON().ms >= 21000);
  await first.evaluate(() => { document.getElementById("video").currentTime = 21; });
  await (await told).response();
  await second.click("[data-play]");
  await second.locator("#ask-yes").waitFor();
  out.Asked = await second.locator("#ask-list li").allInnerTexts();
  await second.click("#ask-yes");
  await second.waitForURL(/\/watch\//);
  out.From = await second.evaluate(() => Number(document.getElementById("player").dataset.from) / 1000);
  await playing(second, out.From + 0.2);
  out.At = await second.evaluate(() => document.getElementById("video").currentTime);
  await first.waitForFunction(() => document.getElementById("player").dataset.ended);
  out.First = await first.locator("#reason").innerText();
}

const browser = await chromium.launch({ executablePath: opt.chromium, headless: true, args: ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"] });
await main(browser).catch((err) => { out.Error = String((err && err.stack) || err); });
await browser.close();
console.log(JSON.stringify(out));

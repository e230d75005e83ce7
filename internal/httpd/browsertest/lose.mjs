// Uses the page "Try to lose a film" of a running house in real headless
// Chromium and prints one line of JSON: what came of it. Used by package
// browsertest; by hand:
//   node internal/httpd/browsertest/lose.mjs '{"url":"http://127.0.0.1:7710/","chromium":"/usr/bin/chromium","pages":"/tmp"}'
// options: url (of the house), chromium, pages (folder for pictures), modules
// (folder in which node_modules/playwright-core is).
import { createRequire } from "node:module";
import { join } from "node:path";

const opt = JSON.parse(process.argv[2]);
const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
const { chromium } = require("playwright-core");

const out = { console: [], mistakes: {}, overflow: false };

async function main() {
  const browser = await chromium.launch({
    executablePath: opt.chromium, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    const page = await open(browser, { viewport: { width: 1280, height: 900 } });
    await byHand(page);
    await atRandom(page);
    await oldLetter(page);
    await surprises(page);
    if (opt.pages) await pictures(browser);
  } finally {
    await browser.close();
  }
}

async function open(browser, context) {
  const page = await (await browser.newContext(context)).newPage();
  page.on("console", (m) => { if (m.type() === "error") out.console.push(m.text()); });
  page.on("pageerror", (e) => out.console.push(String(e)));
  await page.goto(new URL("/", opt.url).href);
  await page.locator("nav a", { hasText: "Lose a film" }).click();
  await page.locator("#lose:not([hidden])").waitFor({ timeout: 60000 });
  return page;
}

const score = (page) => page.evaluate(() => ({
  lost: Number(document.getElementById("lost").textContent), doubled: Number(document.getElementById("doubled").textContent),
  faults: Number(document.getElementById("faults").textContent), broken: document.getElementById("broken").textContent,
  tickets: [...document.querySelectorAll(".tickets")].map((t) => t.getAttribute("aria-label")),
  focus: document.activeElement.dataset.key || document.activeElement.id,
}));

// press uses a button as the keyboard does.
async function press(page, selector) {
  const b = page.locator(selector).first();
  await b.focus();
  await b.press("Enter");
}

// byHand hands the film over with the keyboard alone. The plug of the second
// box is pulled in the middle of its write.
async function byHand(page) {
  await page.locator("#box-2 select").selectOption("middle");
  await press(page, "#box-1 [data-do=hand][data-count='0']");
  await press(page, "#letters [data-do=deliver]");
  await press(page, "#box-2 [data-do=plug]");
  await press(page, "#box-1 [data-do=again]");
  for (let i = 0; i < 3; i++) await press(page, "#letters [data-do=deliver]");
  out.hand = await score(page);
}

async function atRandom(page) {
  const began = Date.now();
  for (let i = 0; i < 6; i++) await page.locator("[data-do=surprise]").click();
  out.perSurprise = (Date.now() - began) / 6; // ms
  await page.locator("[data-do=through]").click();
  out.random = await score(page);
  out.said = await page.evaluate(() => {
    const copy = document.querySelector("main").cloneNode(true);
    for (const x of copy.querySelectorAll("details.tech, noscript, [hidden], template")) x.remove();
    return copy.textContent;
  });
}

const choose = (page, mistake) => page.locator(`[name=mistake][value="${mistake}"]`).check();

// oldLetter asks for the film back before it has arrived, gets it, and brings
// the letter that was kept.
async function oldLetter(page) {
  await choose(page, "no-tombstone");
  await press(page, "#box-1 [data-do=hand][data-count='0']");
  await press(page, "#letters [data-do=lose]");
  await press(page, "#box-1 [data-do=cancel]");
  await press(page, "#letters [data-do=deliver]");
  await press(page, "#letters [data-do=deliver]");
  await page.locator(".post summary").click();
  await press(page, "#old li:last-child [data-do=replay]");
  out.old = await score(page);
}

async function surprises(page) {
  const all = await page.locator("[name=mistake]").evaluateAll((list) => list.map((e) => e.value).filter((v) => v !== "none"));
  for (const mistake of all) {
    await choose(page, mistake);
    for (let i = 0; i < 40 && !(await score(page)).broken; i++) await page.locator("[data-do=surprise]").click();
    out.mistakes[mistake] = await score(page);
  }
}

async function pictures(browser) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, width, height] of [["wide", 1280, 900], ["phone", 390, 844]]) {
      const page = await open(browser, { viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
      const take = async (what) => {
        await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
        await page.screenshot({ path: join(opt.pages, `lose-${what}-${name}-${colorScheme}.png`), fullPage: true });
        out.overflow = out.overflow || await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      };
      await take("begin");
      await page.locator("#box-1 [data-do=hand][data-count='1']").click();
      await page.locator("#letters [data-do=double]").click();
      await page.locator("#box-1 [data-do=cancel]").click();
      await page.locator("#box-1 [data-do=unplug]").click();
      await page.locator("#box-2 select").selectOption("unsafe");
      await take("middle");
      await choose(page, "timeout");
      for (let i = 0; i < 40 && !(await score(page)).broken; i++) await page.locator("[data-do=surprise]").click();
      await take("broken");
      await page.close();
    }
  }
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

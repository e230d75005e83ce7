// Uses the simulator's page of a running house in real headless Chromium and
// prints one line of JSON: what it showed. Used by package browsertest; by hand:
//   node internal/httpd/browsertest/simulate.mjs '{"url":"http://127.0.0.1:7710/","chromium":"/usr/bin/chromium","title":"A rental, begun on its last evening"}'
// options: url (of the house), chromium, title (of the example), pages (folder
// for pictures), modules (folder in which node_modules/playwright-core is).
import { createRequire } from "node:module";
import { join } from "node:path";

const opt = JSON.parse(process.argv[2]);
const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
const { chromium } = require("playwright-core");

const out = { looks: [], steps: [], console: [] };

async function main() {
  const browser = await chromium.launch({
    executablePath: opt.chromium, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    page.on("console", (m) => { if (m.type() === "error" && !expected(m)) out.console.push(m.text()); });
    page.on("pageerror", (e) => out.console.push(String(e)));
    await page.goto(new URL("/", opt.url).href);
    await page.locator("nav a", { hasText: "Simulator" }).click();
    await told(page, () => page.locator("#holds strong:not(:empty)").waitFor({ timeout: 10000 }));
    await tell(page);
    await look(page);
    await mistakes(page);
    if (opt.pages) await pictures(browser);
  } finally {
    await browser.close();
  }
}

// expected is what Chromium says of the story that is wrong.
function expected(m) {
  return m.text().includes("422") && m.location().url.endsWith("/api/v1/simulate");
}

// tell picks the example from the keyboard's list and tells it by the button.
async function tell(page, title = opt.title) {
  await told(page, () => page.locator("#example").selectOption({ label: title }));
  await told(page, () => page.locator("#simulator button[type=submit]").click());
  out.title = await page.locator("#told-title").innerText();
}

// told waits until the answer to what is done is drawn: a drawing that came
// later would put the slider back under the keys.
async function told(page, act) {
  await act();
  await page.locator("#simulator:not([aria-busy])").waitFor({ timeout: 10000 });
}

// look goes from one end of the time line to the other with the keyboard, and
// notes what is said where the words change.
async function look(page) {
  const slider = page.locator("#time");
  const until = (at, moved) => page.waitForFunction(
    ([a, m]) => (document.getElementById("time").value !== a) === m, [at, moved], { timeout: 10000 },
  ).catch(() => { throw new Error(`the slider ${moved ? "stays at" : "does not come to"} ${at}`); });
  await slider.press("Home");
  await until("0", false);
  const now = () => page.evaluate(() => ({
    value: document.getElementById("time").getAttribute("aria-valuetext"), words: document.getElementById("holds").innerText,
    sign: document.querySelector("#holds .sign").className.replace("sign is-", ""), at: document.getElementById("time").value, max: document.getElementById("time").max,
  }));
  const key = (x) => x.value.slice(x.value.indexOf(": ")) + x.words;
  let last = await now();
  out.looks.push(last);
  while (last.at !== last.max) {
    await slider.press("ArrowRight");
    await until(last.at, true);
    const next = await now();
    if (key(next) !== key(last)) out.looks.push(next);
    last = next;
  }
  out.steps = await page.locator("#steps > li").allInnerTexts();
}

// mistakes writes a story with a wrong word, and one that expects what is not.
async function mistakes(page) {
  const story = page.locator("#story");
  await story.fill("title: wrong\nlicense: PLAY\nday 0 dance\n");
  await told(page, () => story.press("Control+Enter"));
  out.wrong = await page.locator("#story-error").innerText();
  out.selected = await page.evaluate(() => { const t = document.getElementById("story"); return t.value.slice(t.selectionStart, t.selectionEnd); });
  out.focus = await page.evaluate(() => document.activeElement.id);
  await story.fill("title: refused\nlicense: PLAY\nday 0 ask => refuse EXPIRED\n");
  await told(page, () => story.press("Control+Enter"));
  out.failed = await page.locator("#verdict").innerText();
  out.said = await page.evaluate(() => {
    const copy = document.querySelector("main").cloneNode(true);
    for (const x of copy.querySelectorAll("details.tech, noscript, [hidden]")) x.remove();
    return copy.innerText;
  });
}

async function pictures(browser) {
  for (const scheme of ["light", "dark"]) {
    for (const [name, width, height] of [["wide", 1280, 900], ["phone", 390, 844]]) {
      const page = await (await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" })).newPage();
      await page.goto(new URL("/simulator", opt.url).href);
      for (const [n, clicks] of [[1, 4], [2, 3], [6, 5]]) {
        await told(page, () => page.locator("#holds strong:not(:empty)").waitFor({ timeout: 10000 }));
        if (n > 1) await told(page, () => page.locator("#example").selectOption({ index: n - 1 }));
        for (let i = 0; i < clicks; i++) await page.locator("#later").click();
        await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
        await page.screenshot({ path: join(opt.pages, `simulator-${n}-${name}-${scheme}.png`), fullPage: name === "phone" || n > 1 });
        out.overflow = out.overflow || await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      }
      await page.close();
    }
  }
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

// Works at an issuer's console in headless Chromium, with the keyboard alone, and
// prints one line of JSON: what it showed. Used by package browsertest.
// options: url (of the issuer), first, second (tokens of two operators who revoke), third
// (of one who sells and lends), household (that has a grant), batch (of claim codes), chromium, pages (folder for pictures), modules (folder in which
// node_modules is).
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const opt = JSON.parse(process.argv[2]);
const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const out = { titles: [], focus: [], violations: [], overflow: [], console: [], checked: 0 };
const places = ["", "titles", "offers", "codes", `codes/${opt.batch}`, "copies", "copies?content=the-general", "households", `households/${opt.household}`, "licenses", "revocations", "keys", "log?verify", "figures", "nothing"];

async function main() {
  const browser = await chromium.launch({
    executablePath: opt.chromium, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    // The checker is put into the page past its policy; nothing else is.
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: true });
    const page = await context.newPage();
    listen(page);
    await page.goto(new URL("/console/", opt.url).href);
    await look(page, "signin");
    await signIn(page, "wrong");
    out.refused = await page.locator("[role=alert]").innerText();
    await signIn(page, opt.first);
    await tab(page);
    for (const place of places) {
      if (counter.includes(place)) continue; // who has their forms looks at them
      await page.goto(new URL("/console/" + place, opt.url).href);
      await look(page, place);
    }
    await propose(page);
    await look(page, "proposed");
    await page.goto(new URL("/console/revocations", opt.url).href);
    await look(page, "revocations-open");
    const policed = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    listen(policed); // with the policy: an error of it is on the console
    await policed.goto(new URL("/console/", opt.url).href);
    await signIn(policed, opt.second);
    await approve(policed);
    await sell(await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: true }));
    if (opt.pages) await pictures(browser);
  } finally {
    await browser.close();
  }
}

function listen(page) {
  // Chromium reports statuses that are meant as errors of loading.
  page.on("console", (m) => { if (m.type() === "error" && !m.text().startsWith("Failed to load resource")) out.console.push(m.text()); });
  page.on("pageerror", (e) => out.console.push(String(e)));
}

// signIn types a token and presses Enter.
async function signIn(page, token) {
  await page.locator("input[name=token]").focus();
  await page.keyboard.type(token);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
}

// dark are the pages whose colors are looked at in the dark as well.
const dark = ["signin", "", `codes/${opt.batch}`, "copies?content=the-general", "given", "sheet", `households/${opt.household}`, "revocations-open", "log?verify", "nothing"];

// look lets axe-core judge the page, and tells whether it fits a phone's width.
async function look(page, place) {
  out.titles.push(await page.title());
  for (const colorScheme of dark.includes(place) ? ["light", "dark"] : ["light"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(axe);
    // Only colors differ in the dark.
    const only = colorScheme === "dark" ? { runOnly: { type: "rule", values: ["color-contrast"] } } : {};
    const found = await page.evaluate((o) => axe.run(document, { resultTypes: ["violations"], ...o }), only);
    for (const v of found.violations) out.violations.push(`${place} (${colorScheme}): ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
    out.checked++;
  }
  await page.emulateMedia({ colorScheme: "light" });
  const size = page.viewportSize();
  await page.setViewportSize({ width: 360, height: 740 });
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) out.overflow.push(place);
  await page.setViewportSize(size);
}

// tab walks over the first page: every link is reached, in the order of reading.
async function tab(page) {
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => (document.activeElement === document.body ? "" : document.activeElement.innerText.trim()));
    if (!at) break;
    out.focus.push(at);
  }
}

// reach presses Tab until what is focused has a text.
async function reach(page, text) {
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((t) => (document.activeElement.innerText || document.activeElement.value || "").trim().startsWith(t), text)) return;
  }
  throw new Error(`the Tab key does not reach ${text}`);
}

async function propose(page) {
  await page.goto(new URL("/console/households/" + opt.household, opt.url).href);
  await reach(page, "Revoke");
  await page.keyboard.press("Enter"); // opens the question
  await page.keyboard.press("Tab");
  await page.keyboard.type("The card was stolen");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  out.said = await page.locator("[role=status]").innerText();
}

async function approve(page) {
  await page.goto(new URL("/console/revocations", opt.url).href);
  await reach(page, "Approve");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  out.approved = await page.locator("#main").innerText();
}

// counter are the pages of who sells and lends; the last one is the batch's.
const counter = ["offers", "codes", "copies", "copies?content=the-general", `codes/${opt.batch}`];

// sell looks at the pages with the forms of who sells and lends, and prints codes.
async function sell(context) {
  const page = await context.newPage();
  listen(page);
  await page.goto(new URL("/console/", opt.url).href);
  await signIn(page, opt.third);
  for (const place of counter) {
    await page.goto(new URL("/console/" + place, opt.url).href);
    await look(page, place);
  }
  await press(page, "Show all that wait");
  await look(page, "given");
  await picture(page, "given");
  await press(page, "Sheet to print");
  await look(page, "sheet");
  await page.emulateMedia({ media: "print" });
  out.sheet = await page.evaluate(() => {
    const shown = (e) => e.getClientRects().length > 0;
    const cards = [...document.querySelectorAll(".cards li")];
    const else_ = [...document.querySelectorAll("header, footer, h1, a")].filter(shown).length;
    return `${cards.filter(shown).length} of ${cards.length} cards, ${else_ ? else_ + " others" : "nothing else"}`;
  });
  const pdf = (await page.pdf({ preferCSSPageSize: true })).toString("latin1");
  out.sheetPages = (pdf.match(/\/Type\s*\/Page\b/g) || []).length;
  await picture(page, "sheet-printed");
  await page.close();
}

const picture = (page, name) => opt.pages && page.screenshot({ path: join(opt.pages, `console-${name}.png`), fullPage: true });

// press sends a form by its button, by keyboard.
async function press(page, text) {
  await reach(page, text);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
}

async function pictures(browser) {
  for (const scheme of ["light", "dark"]) {
    for (const [name, width, height] of [["wide", 1280, 900], ["phone", 390, 844]]) {
      for (const token of [opt.second, opt.third]) { // each page as who works there sees it
        const page = await (await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" })).newPage();
        await page.goto(new URL("/console/", opt.url).href);
        await page.screenshot({ path: join(opt.pages, `console-signin-${name}-${scheme}.png`) });
        await signIn(page, token);
        for (const place of places.slice(0, -1)) {
          if (counter.includes(place) !== (token === opt.third)) continue;
          await page.goto(new URL("/console/" + place, opt.url).href);
          const file = (place.split(/[/?]/)[0] || "today") + (/\/|content=/.test(place) ? "-one" : "");
          await page.screenshot({ path: join(opt.pages, `console-${file}-${name}-${scheme}.png`), fullPage: true });
        }
        await page.close();
      }
    }
  }
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

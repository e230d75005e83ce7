// Walks over every page of a house that people live in, in a real headless browser, and
// prints one line of JSON: what axe-core finds in light and dark, what is wider than a
// screen, what the Tab key reaches, and what changed by itself. Used by package browsertest.
// options: browser, program, modules, size (drive.mjs); url (of the house); places
// (paths); keys (walk by keyboard: the names of a title and of a device); pair (file that is made when the
// page of devices is open and waits); axe (judge, too); pages (folder for pictures, or ""); tour (files for
// pictures, by path).
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { judge, open, reader } from "./drive.mjs";

const opt = JSON.parse(process.argv[2]);
const out = { console: [], violations: [], wide: [], checked: 0, said: "", focus: [], came: "", kept: "", titles: [] };
const desktop = [1280, 800], phone = [390, 844];
let page, axe;

const nameOf = (place) => place.replace(/\?.*/, "").replace(/^\//, "").replace(/\//g, "-") || "library";

// walk looks at a page on both screens, in both colors, as it comes and unfolded.
async function walk(place) {
  await page.size(...desktop, "light");
  await page.goto(new URL(place, opt.url).href);
  out.titles.push(await page.evaluate(() => document.title));
  if (opt.tour?.[place]) await page.picture(opt.tour[place]);
  if (opt.pages) await pictures(place);
  if (opt.axe) await unfold();
  for (const scheme of opt.axe ? ["light", "dark"] : []) {
    await page.size(...desktop, scheme);
    const { found } = await judge(page, axe, scheme === "dark");
    out.violations.push(...found.map((f) => `${scheme}: ${f}`));
    out.checked++;
  }
  for (const size of [desktop, phone]) {
    await page.size(...size, "light");
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) out.wide.push(`${place} ${size[0]}`);
  }
}

async function pictures(place) {
  for (const scheme of ["light", "dark"]) {
    for (const [name, size] of [["desktop", desktop], ["phone", phone]]) {
      await page.size(...size, scheme);
      await page.picture(join(opt.pages, `page-${nameOf(place)}-${name}-${scheme}-${opt.browser}.jpg`));
    }
  }
}

// unfold opens what can be opened, so that it is judged as well.
const unfold = () => page.evaluate(() => { for (const d of document.querySelectorAll("details")) { d.removeAttribute("name"); d.open = true; } });

// reach presses Tab until what has the focus begins with a text.
async function reach(text) {
  for (let i = 0; i < 120; i++) {
    await page.key("Tab");
    const at = await page.evaluate(() => (document.activeElement.innerText || document.activeElement.getAttribute("aria-label") || document.activeElement.name || "").trim());
    if (at) out.focus.push(at.split("\n")[0]);
    if (at.startsWith(text)) return;
  }
  throw new Error(`the Tab key does not reach ${text}`);
}

// lend lends a title with the keyboard alone: to its page, the way, the device, the days, the yes.
async function lend([title, device]) {
  await page.size(...desktop, "light");
  await page.goto(new URL("/", opt.url).href);
  await reach(title);
  await page.key("Enter");
  await page.wait((t) => document.querySelector("h1")?.textContent === t, title);
  await reach("Lend");
  await page.key("Enter");
  await page.key("Tab");
  await page.text(device); // chooses it in the list
  await page.key("Tab");
  await reach("Lend it");
  await page.key("Enter");
  await page.wait(() => document.getElementById("ask").open);
  out.asked = await page.evaluate(() => document.getElementById("ask-title").textContent);
  if (opt.pages) await page.picture(join(opt.pages, `page-ask-desktop-light-${opt.browser}.jpg`));
  await page.key("Enter"); // the yes has the focus
  await page.wait(() => document.querySelector("[role=status]") !== null && !document.getElementById("ask").open);
  out.said = await page.evaluate(() => document.querySelector("[role=status]").textContent);
}

// comes waits for a device that asks while the page is open. What was typed into fields
// that have not the focus stays.
async function comes() {
  await page.goto(new URL("/devices", opt.url).href);
  const before = await page.evaluate(() => document.querySelectorAll(".pairing").length);
  await page.evaluate(() => {
    document.querySelector("main [name=code]:not([type=hidden])").value = "3F9K-22";
    document.querySelector("main [name=idle]").checked = true;
  });
  writeFileSync(opt.pair, "");
  await page.wait((n) => document.querySelectorAll(".pairing").length > n, before);
  out.kept = await page.evaluate(() => document.querySelector("main [name=code]:not([type=hidden])").value + (document.querySelector("main [name=idle]").checked ? " ticked" : ""));
  out.came = await page.evaluate(() => [...document.querySelectorAll(".pairing strong")].pop().textContent);
}

async function main() {
  page = await open(opt, out.console);
  if (opt.axe) axe = reader(opt);
  try {
    for (const place of opt.places) await walk(place);
    if (opt.keys) await lend(opt.keys);
    if (opt.pair) await comes();
  } finally {
    await page.close();
  }
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

// Drives a real headless browser for the scripts of this folder: Chromium by
// playwright-core, Firefox by puppeteer-core over WebDriver BiDi. What they share is
// behind the same few functions.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openWebKit } from "./webkit.mjs";

const chromiumArgs = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];
const firefoxPrefs = {
  "media.eme.enabled": true, "media.autoplay.default": 0, "media.autoplay.blocking_policy": 0,
  "media.gmp-manager.updateEnabled": false, "app.update.enabled": false, "datareporting.policy.dataSubmissionEnabled": false,
};

// open starts opt.browser ("chromium", "firefox" or "webkit", the program opt.program)
// with one page, 1280 by 800 pixels or opt.size. errors gets what the page complains of,
// of WebKit nothing. before, if any, runs in each page before its own scripts, not in WebKit.
export async function open(opt, errors, before) {
  if (opt.browser === "webkit") return openWebKit(opt);
  const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
  const [width, height] = opt.size || [1280, 800];
  const viewport = { width, height };
  let browser, page;
  if (opt.browser === "firefox") {
    browser = await require("puppeteer-core").launch({ browser: "firefox", executablePath: opt.program, headless: true, acceptInsecureCerts: true, extraPrefsFirefox: firefoxPrefs });
    page = await browser.newPage();
    await page.setViewport(viewport);
  } else {
    browser = await require("playwright-core").chromium.launch({ executablePath: opt.program, headless: true, args: chromiumArgs });
    page = await browser.newPage({ viewport, ignoreHTTPSErrors: true }); // the house's CA is not in its store
  }
  if (before) await (page.addInitScript ? page.addInitScript(before) : page.evaluateOnNewDocument(before));
  page.on("console", (m) => { if (m.type() === "error") errors.push(`${m.text()} ${m.location()?.url || ""}`.trim()); });
  page.on("pageerror", (e) => errors.push(String(e)));
  return {
    goto: (url) => page.goto(url),
    url: () => page.url(),
    evaluate: (fn, arg) => page.evaluate(fn, arg),
    wait: async (fn, arg, timeout = 30000) => {
      for (const end = Date.now() + timeout; ;) {
        const got = await page.evaluate(fn, arg).catch(() => false); // the page may be on its way to another
        if (got) return got;
        if (Date.now() > end) throw new Error(`waited ${timeout} ms for ${fn}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    click: (selector) => page.click(selector),
    key: (name) => page.keyboard.press(name),
    text: (words) => page.keyboard.type(words),
    fill: async (selector, words) => { // as a person does: go there, take what is there, type
      await page.click(selector, { clickCount: 3 });
      await page.keyboard.press("Delete");
      if (words) await page.keyboard.type(words);
    },
    // size sets the screen's size, and where the browser can the colors: light or dark.
    size: async (width, height, scheme) => {
      if (page.setViewportSize) {
        await page.setViewportSize({ width, height });
        if (scheme) await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      } else {
        await page.setViewport({ width, height });
      }
    },
    picture: (path) => page.screenshot(/\.jpg$/.test(path) ? { path, type: "jpeg", quality: 72 } : { path }),
    close: () => browser.close(),
  };
}

// reader reads axe-core's program.
export const reader = (opt) => readFileSync(join(opt.modules, "node_modules/axe-core/axe.min.js"), "utf8");

// judge lets axe-core (its program) judge the page that is shown, and returns what it
// finds; and whether the page is wider than the screen. With colors only those are
// judged: nothing else differs in the dark.
export async function judge(page, axe, colors = false) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  return page.evaluate(async (only) => {
    const wide = document.documentElement.scrollWidth > innerWidth;
    const found = await axe.run(document, { preload: false, resultTypes: ["violations"], runOnly: only ? { type: "rule", values: ["color-contrast"] } : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
    return { wide, found: found.violations.map((v) => `${location.pathname}: ${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")}`) };
  }, colors);
}

// stopped runs in a page that plays: it asks the house to end the session and tells,
// by the page's own clock, how long the picture stayed, and how late the page's timers
// were meanwhile, which is the machine's doing. Milliseconds.
export const stopped = (session) => new Promise((resolve, reject) => {
  const root = document.getElementById("player"), video = document.getElementById("video");
  const tick = 20;
  let lag = 0, last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    lag = Math.max(lag, now - last - tick);
    last = now;
  }, tick);
  const from = performance.now();
  const watch = new MutationObserver(() => {
    if (!root.dataset.ended || !video.hidden) return;
    watch.disconnect();
    clearInterval(timer);
    resolve({ ms: performance.now() - from, lag });
  });
  watch.observe(root, { attributes: true, subtree: true });
  setTimeout(() => reject(new Error("the picture stays")), 15000);
  fetch(`/api/v1/sessions/${session}`, { method: "DELETE" }).catch(reject);
});

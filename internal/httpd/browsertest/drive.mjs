// Drives a real headless browser for the scripts of this folder: Chromium by
// playwright-core, Firefox by puppeteer-core over WebDriver BiDi. What they share is
// behind the same few functions.
import { createRequire } from "node:module";
import { join } from "node:path";

const chromiumArgs = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];
const firefoxPrefs = {
  "media.eme.enabled": true, "media.autoplay.default": 0, "media.autoplay.blocking_policy": 0,
  "media.gmp-manager.updateEnabled": false, "app.update.enabled": false, "datareporting.policy.dataSubmissionEnabled": false,
};

// open starts opt.browser ("chromium" or "firefox", the program opt.program) with one
// page. errors gets what the page complains of.
export async function open(opt, errors) {
  const require = createRequire(opt.modules ? join(opt.modules, "package.json") : import.meta.url);
  const viewport = { width: 1280, height: 800 };
  let browser, page;
  if (opt.browser === "firefox") {
    browser = await require("puppeteer-core").launch({ browser: "firefox", executablePath: opt.program, headless: true, extraPrefsFirefox: firefoxPrefs });
    page = await browser.newPage();
    await page.setViewport(viewport);
  } else {
    browser = await require("playwright-core").chromium.launch({ executablePath: opt.program, headless: true, args: chromiumArgs });
    page = await browser.newPage({ viewport });
  }
  page.on("console", (m) => { if (m.type() === "error") errors.push(m.text()); });
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
    picture: (path) => page.screenshot({ path }),
    close: () => browser.close(),
  };
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

// Begins a new house as its owner does, in a real headless browser: setup code and
// invitation, films, the first device, the first film. Prints one line of JSON. Used
// by package browsertest.
// options: browser, program, modules, size (drive.mjs); url (the address that the terminal
// shows); code, invitation, folder, link (what the owner has); asks (file that is
// written when the house waits for a device, with where it is asked); pages (folder for pictures, or ""); tour (files for pictures, by step).
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { judge, open, reader } from "./drive.mjs";

const opt = JSON.parse(process.argv[2]);
const out = { console: [], violations: [], wide: [], headings: [], text: "", seconds: 0, played: 0, seen: "" };
const phone = opt.size[0] < 600;
let axe, page;

const picture = (name) => join(opt.pages, `setup-${name}-${opt.browser}-${phone ? "phone" : "desktop"}.jpg`);

// show takes the pictures of a step.
async function show(name) {
  if (opt.tour?.[name]) await page.picture(opt.tour[name]);
  if (opt.pages) await page.picture(picture(name));
}

// look judges the step that is shown, and takes a picture of it.
async function look(name) {
  out.headings.push(await page.evaluate(() => document.querySelector("h1").textContent.trim()));
  out.text += await page.evaluate(() => {
    if (document.querySelector("video")) return document.querySelector("main").innerText; // a copy would load its stream again
    const copy = document.querySelector("main").cloneNode(true);
    for (const x of copy.querySelectorAll("details.tech")) x.remove();
    return ` ${copy.textContent}`;
  });
  const { wide, found } = await judge(page, axe);
  out.violations.push(...found);
  if (wide) out.wide.push(name);
  await show(name);
}

const shown = (title) => page.wait((words) => document.querySelector("h1")?.textContent.trim() === words && document.readyState === "complete", title);

async function main() {
  page = await open(opt, out.console);
  axe = reader(opt);
  try {
    const began = Date.now();
    await page.goto(opt.url);
    await shown("Welcome. Begin your house here");
    await look("1-begin");
    await page.fill("[name=code]", opt.code);
    await page.fill("[name=invitation]", opt.invitation);
    await page.click("button.primary");
    await shown("Where are your films?");
    await look("2-films");
    await page.fill("[name=folder]", opt.folder);
    await page.fill("[name=link]", opt.link);
    await page.click("button.primary");
    await shown("Your first device");
    await look("3-device");
    writeFileSync(`${opt.asks}.new`, await page.evaluate((url) => document.querySelector("main code")?.textContent || url, opt.url)); // where it is to be asked
    renameSync(`${opt.asks}.new`, opt.asks);
    await page.wait(() => document.querySelector(".code") !== null); // by itself, without a click
    out.seen = await page.evaluate(() => document.querySelector(".code").textContent.trim());
    await look("4-code");
    await page.click("form[action='/devices/approve'] button");
    await page.wait(() => [...document.querySelectorAll("a.primary")].some((a) => a.getAttribute("href") === "/setup/end"));
    await look("5-in");
    await page.click("a.primary[href='/setup/end']");
    await page.wait(() => document.querySelector("[data-play]") !== null);
    await look("6-library");
    await page.click("[data-play]");
    await page.wait(() => document.getElementById("video")?.currentTime >= 1, null, 40000);
    out.played = await page.evaluate(() => document.getElementById("video").currentTime);
    out.seconds = (Date.now() - began) / 1000;
    await show("7-watch");
    await page.click("#stop");
    await page.wait(() => document.getElementById("player").dataset.ended !== undefined);
    await look("8-stopped");
    await page.goto(new URL("/trust", opt.url).href);
    await look("9-trust");
  } catch (err) {
    out.console.push(await page.evaluate(() => `${location.pathname}: ${document.querySelector("main")?.innerText}`).catch(String));
    throw err;
  } finally {
    await page.close();
  }
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

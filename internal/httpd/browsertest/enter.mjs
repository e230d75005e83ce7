// Opens a house over HTTPS at its address in the network, in a real headless browser that
// is not known there: it asks, the owner says yes on a page of the same machine, and it
// goes on by itself to the library and plays. Prints one line of JSON. Used by package
// browsertest.
// options: browser, program, modules (drive.mjs); url (of the house in the network); owner (a file
// that is made when the code is shown, with the code in it).
import { renameSync, writeFileSync } from "node:fs";
import { open } from "./drive.mjs";

const opt = JSON.parse(process.argv[2]);
const out = { console: [], first: "", code: "", secure: false, played: 0 };

async function main() {
  const page = await open(opt, out.console);
  try {
    await page.goto(opt.url);
    out.first = new URL(await page.url()).pathname;
    out.secure = await page.evaluate(() => isSecureContext);
    await page.click("button.primary");
    await page.wait(() => document.querySelector(".code") !== null);
    out.code = await page.evaluate(() => document.querySelector(".code").textContent);
    writeFileSync(`${opt.owner}.new`, out.code);
    renameSync(`${opt.owner}.new`, opt.owner);
    await page.wait(() => document.querySelector("[data-play]") !== null && document.readyState === "complete");
    await page.click("[data-play]");
    await page.wait(() => document.getElementById("video")?.currentTime >= 1, null, 40000);
    out.played = await page.evaluate(() => document.getElementById("video").currentTime);
  } finally {
    await page.close();
  }
}

main().catch((err) => { out.error = String(err && err.stack || err); }).finally(() => {
  console.log(JSON.stringify(out));
});

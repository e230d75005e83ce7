// Drives WebKitGTK's small browser by WebDriver, behind the functions of drive.mjs: its
// pages need a screen, so there is one of Xvfb for each.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { writeFileSync } from "node:fs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const freePort = () => new Promise((resolve) => {
  const s = createServer().listen(0, "127.0.0.1", () => { const { port } = s.address(); s.close(() => resolve(port)); });
});

// display starts Xvfb on a number of its own choice.
function display(size) {
  const x = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", `${size}x24`, "-nolisten", "tcp"], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    x.on("error", reject);
    x.stdio[3].once("data", (n) => resolve({ name: `:${String(n).trim()}`, end: () => x.kill() }));
  });
}

// openWebKit starts opt.program, WebKitWebDriver, with one page, as open of drive.mjs does.
export async function openWebKit(opt) {
  const [width, height] = opt.size || [1280, 800];
  const screen = await display(`${width}x${height}`);
  const port = await freePort();
  const driver = spawn(opt.program, [`--port=${port}`], { stdio: "ignore", env: { ...process.env, DISPLAY: screen.name, LIBGL_ALWAYS_SOFTWARE: "1" } });
  const close = async () => { driver.kill(); screen.end(); };
  const call = async (method, path, body) => {
    const res = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await res.json();
    if (!res.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  };
  const begin = async () => {
    const always = { acceptInsecureCerts: true, "webkitgtk:browserOptions": { binary: opt.binary, args: ["--automation"] } };
    for (const end = Date.now() + 10000; ;) {
      try {
        return await call("POST", "/session", { capabilities: { alwaysMatch: always } });
      } catch (err) {
        if (Date.now() > end || !(err instanceof TypeError)) throw err; // else it does not listen yet
        await sleep(50);
      }
    }
  };
  try {
    const session = await begin();
    const root = `/session/${session.sessionId}`;
    await call("POST", `${root}/window/rect`, { width, height });
    const evaluate = async (fn, arg) => {
      const script = `const done = arguments[1]; Promise.resolve((${fn})(arguments[0])).then((ok) => done({ ok }), (err) => done({ err: String(err) }))`;
      const { ok, err } = await call("POST", `${root}/execute/async`, { script, args: [arg ?? null] });
      if (err) throw new Error(err);
      return ok;
    };
    const element = async (selector) => Object.values(await call("POST", `${root}/element`, { using: "css selector", value: selector }))[0];
    return {
      goto: (url) => call("POST", `${root}/url`, { url }),
      url: () => call("GET", `${root}/url`),
      evaluate,
      wait: async (fn, arg, timeout = 30000) => {
        for (const end = Date.now() + timeout; ;) {
          const got = await evaluate(fn, arg).catch(() => false); // the page may be on its way to another
          if (got) return got;
          if (Date.now() > end) throw new Error(`waited ${timeout} ms for ${fn}`);
          await sleep(50);
        }
      },
      click: async (selector) => call("POST", `${root}/element/${await element(selector)}/click`, {}),
      picture: async (path) => writeFileSync(path, Buffer.from(await call("GET", `${root}/screenshot`), "base64")),
      close: async () => { await call("DELETE", root).catch(() => {}); await close(); },
    };
  } catch (err) {
    await close();
    throw err;
  }
}

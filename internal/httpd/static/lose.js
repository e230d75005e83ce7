// The page "Try to lose a film": it shows what the boxes (WebAssembly, the
// house's own code) say, and tells them what is done to them. All that is said
// to people stands in the page.

const $ = (id) => document.getElementById(id);
const say = Object.fromEntries([...document.querySelectorAll("#say li")].map((li) => [li.dataset.key, li.textContent]));
const mistake = () => document.querySelector("[name=mistake]:checked").value;
let view = null;

// tell gives the sentence for a key, with its blanks filled in.
function tell(key, fill = {}) {
  return (say[key] || key).replace(/\{(\w+)\}/g, (_, name) => fill[name] ?? "");
}
const viewings = (n) => tell(n === 1 ? "one" : "many", { n });
const box = (n) => say[`box-${n}`];
const words = (l) => tell(l.kind, { v: viewings(l.tickets) });

function el(tag, cls, text) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
}

// act lets something happen, and shows what there is to see then.
function act(command) {
  const answer = globalThis.laresPlay(JSON.stringify(command));
  if (answer instanceof Error) throw answer;
  view = JSON.parse(answer);
  draw();
}

function button(does, letter, key) {
  const b = el("button", "", say[does]);
  b.type = "button";
  Object.assign(b.dataset, { do: does, letter: letter.id, key: `${does}-${key}` });
  b.setAttribute("aria-label", `${say[does]}: ${words(letter)} ${tell("to", { box: box(letter.to) })}`);
  return b;
}

function drawLetters(list, letters, does, where) {
  list.replaceChildren(...letters.map((l) => {
    const li = el("li", l.to === 1 ? "left" : "right");
    const text = el("p");
    text.append(el("span", "arrow", l.to === 1 ? "←" : "→"), el("span", "text", words(l)), el("span", "quiet small", tell("to", { box: box(l.to) })));
    const row = el("div", "row");
    row.append(...does.map((d) => button(d, l, where + l.id)));
    li.append(text, row);
    return li;
  }));
}

function drawBox(n, b) {
  const at = $(`box-${n}`);
  if (!at.firstElementChild) {
    at.append($("box-words").content.cloneNode(true));
    at.querySelector("h3").id = `name-${n}`;
    at.querySelector("h3").textContent = say[`name-${n}`];
    for (const e of at.querySelectorAll("[data-do]")) Object.assign(e.dataset, { box: n, key: `${e.dataset.do}${e.dataset.count || ""}-box-${n}` });
  }
  at.classList.toggle("is-off", !b.on);
  at.querySelector(".state").textContent = b.on ? say.on : say.off;
  const tickets = at.querySelector(".tickets");
  tickets.setAttribute("aria-label", b.tickets ? viewings(b.tickets) : say.none);
  tickets.replaceChildren(...Array.from({ length: b.tickets + b.out }, (_, i) => el("span", i < b.tickets ? (i < b.tickets - b.fresh ? "ticket" : "ticket is-fresh") : "ticket is-out", "▶")));
  const held = [b.tickets ? "" : say.none];
  if (b.fresh) held.push(tell("fresh", { v: viewings(b.fresh) }));
  if (b.out) held.push(tell(b.cancelled ? "out-back" : "out", { v: viewings(b.out) }));
  at.querySelector(".holds-words").textContent = held.filter(Boolean).join(" ");
  for (const e of at.querySelectorAll("button[data-do]")) {
    const d = e.dataset.do;
    e.hidden = d === "plug" ? b.on : d === "unplug" && !b.on;
    e.disabled = d !== "plug" && (!b.on || (d === "hand" && b.tickets <= b.fresh) || (d === "watch" && !b.tickets) || (d === "cancel" && !b.out));
  }
  at.querySelector("select").value = b.armed;
  at.querySelector("select").disabled = !b.on;
}

function sentence(e) {
  const letter = e.what === "broken" ? e.kind : tell(e.kind, { v: viewings(e.n || 0) });
  return tell(`e-${e.what}`, { box: box(e.box), v: viewings(e.n), n: e.n, letter });
}

function draw() {
  const key = document.activeElement?.dataset?.key;
  for (const name of ["lost", "doubled", "faults"]) $(name).textContent = view[name];
  $("faults-words").textContent = say[view.faults === 1 ? "wrong-one" : "wrong-many"];
  document.querySelector(".score").classList.toggle("is-bad", view.lost + view.doubled > 0);
  $("broken").hidden = !view.broken;
  $("broken").textContent = view.broken ? say.broken : "";
  view.boxes.forEach((b, i) => drawBox(i + 1, b));
  drawLetters($("letters"), view.letters, ["deliver", "double", "lose"], "on");
  drawLetters($("old"), view.old, ["replay"], "old");
  $("no-letters").hidden = view.letters.length > 0;
  $("events").replaceChildren(...view.events.map((e) => el("li", e.what === "broken" ? "is-bad" : "", sentence(e))));
  $("log").textContent = [...view.log, view.broken].filter(Boolean).join("\n");
  if (key && !document.activeElement?.dataset?.key) (document.querySelector(`[data-key="${key}"]:not(:disabled)`) || $("post-title")).focus();
}

function command(e) {
  const d = e.dataset;
  return { do: d.do, box: Number(d.box || 0), letter: Number(d.letter || 0), count: Number(d.count || 0), name: d.do === "reset" ? mistake() : "" };
}

document.addEventListener("click", (event) => {
  const b = event.target.closest("button[data-do]");
  if (b) act(command(b));
});
document.addEventListener("change", (event) => {
  const e = event.target;
  if (e.matches("select[data-do]")) act({ ...command(e), name: e.value });
  if (e.name === "mistake") act({ do: "reset", name: mistake() });
});

function begin() {
  act({ do: "reset", name: mistake() });
  $("lose-wait").hidden = true;
  $("lose").hidden = false;
}

addEventListener("lares-play", begin, { once: true });
const go = new globalThis.Go();
try {
  const { instance } = await WebAssembly.instantiateStreaming(fetch("/lose/play.wasm"), go.importObject);
  go.run(instance);
} catch (err) {
  $("lose-wait").textContent = String(err);
}

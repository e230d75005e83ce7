// The simulator: sends a story to the house, draws the time line that comes
// back, and shows what holds at the time that the slider is at. Everything said
// to people comes from the server or the page's template.
import { call } from "/static/app.js";

const $ = (id) => document.getElementById(id);
const form = $("simulator"), said = $("told").dataset, story = $("story"), slider = $("time"), wrong = $("story-error");
const minute = 60_000, day = 24 * 60 * minute;

let told;          // what the server said last
let shown = null;  // the segment that is shown
let scale = [];    // stretches between marks: {from, until, start, ticks}
let asked = 0;     // which question was asked last

// make builds an element with a text and a class.
function make(name, text = "", className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}

// when prints a time as the story does: day 29, 23:00.
function when(ms) {
  const off = ms - told.zero, n = Math.floor(off / day);
  const iso = new Date(off - n * day).toISOString().slice(11, 23);
  const clock = iso.endsWith(":00.000") ? iso.slice(0, 5) : iso.endsWith(".000") ? iso.slice(0, 8) : iso;
  return `${said.day} ${n}, ${clock}`;
}

// measure cuts the time at every step and change. Each stretch gets a length
// that grows slowly with its time, so that seconds and weeks are seen beside
// each other; the slider has so many positions.
function measure() {
  const marks = new Set([told.from, told.until]);
  for (const s of told.segments) marks.add(s.from).add(s.until);
  for (const e of told.events) marks.add(Math.min(e.at, told.until));
  const list = [...marks].sort((a, b) => a - b);
  let start = 0;
  scale = list.slice(1).map((until, i) => {
    const from = list[i], ticks = Math.round(4 * (1 + Math.log2(1 + (until - from) / minute)));
    const stretch = { from, until, start, ticks };
    start += ticks;
    return stretch;
  });
  return start;
}

// timeAt is the time of a slider position; positions of marks are exact.
function timeAt(position) {
  const s = scale.findLast((x) => x.start <= position);
  if (!s) return told.from;
  if (position >= s.start + s.ticks) return s.until;
  const step = (s.until - s.from) / s.ticks, unit = step > minute ? minute : step > 1000 ? 1000 : 1;
  const ms = s.from + (position - s.start) * step;
  return position === s.start ? s.from : Math.max(s.from, told.zero + Math.floor((ms - told.zero) / unit) * unit);
}

// positionOf is the slider position of a mark.
function positionOf(ms) {
  const s = scale.find((x) => x.from === ms);
  return s ? s.start : scale.length ? scale.at(-1).start + scale.at(-1).ticks : 0;
}

function segmentAt(ms) {
  return told.segments.find((s) => ms >= s.from && ms < s.until) || (ms >= told.until ? told.segments.at(-1) : undefined);
}

function items(list, element) {
  element.replaceChildren(...list);
  element.hidden = list.length === 0;
}

function reason(why) {
  const li = make("li", why.sentence, why.warning ? "warning" : "");
  if (why.help) li.append(" ", make("em", why.help));
  return li;
}

// show says what holds at the slider's time.
function show() {
  const ms = timeAt(Number(slider.value)), s = segmentAt(ms), words = s ? s.words : said.nothing;
  $("when").textContent = when(ms);
  slider.setAttribute("aria-valuetext", `${when(ms)}: ${words}`);
  document.querySelector(".timeline").style.setProperty("--at", slider.max > 0 ? slider.value / slider.max : 0);
  $("earlier").disabled = Number(slider.value) <= 0;
  $("later").disabled = Number(slider.value) >= Number(slider.max);
  if (s === shown) return; // a screen reader hears changes only
  shown = s;
  const box = $("holds");
  box.querySelector(".sign").className = `sign ${s ? `is-${s.kind}` : ""}`;
  box.querySelector("strong").textContent = words;
  items((s ? s.why : []).map(reason), box.querySelector(".why"));
  items((s ? s.facts : []).map((text) => make("li", text)), box.querySelector(".facts"));
  box.querySelector(".lasts").textContent = s ? s.lasts : "";
  items((s ? s.codes : []).map((text) => { const li = make("li"); li.append(make("code", text)); return li; }), $("codes").querySelector("ul"));
  $("codes").hidden = !s || s.codes.length === 0;
}

function goTo(ms) {
  slider.value = positionOf(ms);
  show();
}

// jump moves to the next change of what holds, or to the next step.
function jump(forward) {
  const at = Number(slider.value), stops = scale.map((s) => s.start).concat(Number(slider.max));
  const to = forward ? stops.find((p) => p > at) : stops.findLast((p) => p < at);
  if (to !== undefined) slider.value = to;
  show();
}

// draw fills the bar: one piece for each stretch of one kind.
function draw() {
  const pieces = [];
  for (const x of scale) {
    const kind = (segmentAt(x.from) || { kind: "none" }).kind, last = pieces.at(-1);
    if (last && last.kind === kind) last.ticks += x.ticks;
    else pieces.push({ kind, from: x.from, ticks: x.ticks });
  }
  document.querySelector(".bar").replaceChildren(...pieces.map((p) => {
    const piece = make("span", "", `piece is-${p.kind}`);
    piece.style.flexGrow = p.ticks;
    piece.append(make("span", "", `sign is-${p.kind}`));
    return piece;
  }));
  const groups = new Map();
  told.events.forEach((e, i) => groups.set(e.at, [...(groups.get(e.at) || []), i + 1]));
  document.querySelector(".marks").replaceChildren(...[...groups].map(([at, numbers]) => {
    const text = numbers.length > 1 ? `${numbers[0]}–${numbers.at(-1)}` : String(numbers[0]);
    const mark = make("button", groups.size > 16 ? "" : text, "mark");
    Object.assign(mark, { type: "button", tabIndex: -1 });
    mark.style.left = `${100 * positionOf(at) / Math.max(1, slider.max)}%`;
    mark.addEventListener("click", () => goTo(at));
    return mark;
  }));
  const [left, right] = document.querySelectorAll(".ends span");
  left.textContent = when(told.from);
  right.textContent = when(told.until);
}

// step is one line of the list of what happened.
function step(e) {
  const li = make("li"), go = make("button", when(e.at), "link");
  go.type = "button";
  go.addEventListener("click", () => goTo(e.at));
  li.append(go, " ", make("span", e.words));
  if (e.kind) li.append(" ", make("span", said[e.kind], `outcome is-${e.kind}`));
  const tech = make("details", "", "tech");
  tech.append(make("summary", "Details"), make("code", [`${e.line}: ${e.text}`, ...e.codes].join(" · ")));
  li.append(tech);
  if (e.why.length) {
    const why = make("ul", "", "why");
    why.append(...e.why.map(reason));
    li.append(why);
  }
  return li;
}

function hide(yes) {
  for (const id of ["told", "now", "after"]) $(id).hidden = yes;
}

function render() {
  const n = measure();
  shown = null;
  slider.max = n;
  slider.value = 0;
  $("told-title").textContent = told.title;
  $("cut").hidden = !told.cut;
  const failed = told.failures;
  $("verdict").textContent = failed.length === 1 ? said.single : `${failed.length} ${said.many}`;
  $("verdict").hidden = $("failed").hidden = failed.length === 0;
  items(failed.map((text) => make("li", text)), $("failed").querySelector("ul"));
  items(told.events.map(step), $("steps"));
  hide(false);
  draw();
  show();
}

// complain shows what is wrong with the story, and selects its line.
function complain(err) {
  hide(true);
  wrong.textContent = err.line ? `${said.line} ${err.line}: ${err.detail}` : err.message;
  wrong.hidden = false;
  story.closest("details").open = true;
  if (!err.line) return;
  story.setAttribute("aria-invalid", "true");
  story.setAttribute("aria-errormessage", "story-error");
  const lines = story.value.split("\n"), before = lines.slice(0, err.line - 1).join("\n").length + (err.line > 1 ? 1 : 0);
  story.setSelectionRange(before, before + (lines[err.line - 1] || "").length);
  story.scrollTop = (err.line - 3) * story.scrollHeight / lines.length;
}

async function tell() {
  const mine = ++asked;
  form.setAttribute("aria-busy", "true"); // until the last answer is drawn
  try {
    const answer = await call("POST", "/api/v1/simulate", { story: story.value, days: Number($("days").value) });
    if (mine !== asked) return;
    wrong.hidden = true;
    story.removeAttribute("aria-invalid");
    told = answer;
    render();
  } catch (err) {
    if (mine === asked) complain(err);
  } finally {
    if (mine === asked) form.removeAttribute("aria-busy");
  }
}

function pick() {
  story.value = $("example").selectedOptions[0].dataset.story;
  return tell();
}

form.addEventListener("submit", (event) => { event.preventDefault(); tell(); });
story.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) tell(); });
$("example").addEventListener("change", pick);
slider.addEventListener("input", show);
$("earlier").addEventListener("click", () => jump(false));
$("later").addEventListener("click", () => jump(true));
pick();

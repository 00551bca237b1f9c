// The timeline: its words, and its data as they come in the page, decoded and laid out in rows.

const HALVES = ["off", "on"];
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const { pairs, left_out: leftOut, words: { classes: CLASSES, callClasses: CALL_CLASSES, causes: CAUSES } } = read("timeline-pairs");
const LEGEND = [
  ...CLASSES.map((name) => `op-${name}`), "waiting", "idle-launch", "idle-dependency", "idle-graph", "idle-unknown",
  ...CALL_CLASSES.map((name) => `call-${name}`), "beyond",
];
const SPAN_LAYERS = ["band", ...LEGEND];
const HATCHED = ["waiting", "call-wait", "beyond"];
const FOREVER_NS = 1e15;
// Heights in pixels: rows of operations and calls, of idle time, and what separates ranks; the latter for many rows.
const ROOMY = { row: 15, idle: 6, between: 8, top: 16, font: "11px" };
const DENSE = { row: 9, idle: 4, between: 5, top: 14, font: "9px" };
const MANY_ROWS = 14;
// Arrows of all launches in sight are drawn where they are no more than this.
const FEW_LINKS = 40;
const NEAR_PX = 3;
// Idle time of less than this part of what is in sight is not drawn.
const UNSEEN = 40_000;

const section = document.getElementById("timeline-block");
const part = (selector) => section.querySelector(selector);
const messages = read("timeline-messages");
const state = { pair: null, halves: {}, plots: {}, views: {}, hovered: null, chosen: null, requested: false };

const language = () => (document.documentElement.dataset.lang === "zh" ? "zh" : "en");
const say = (key, fields = {}) =>
  messages[language()][key].replace(/\{(\w+)\}/g, (whole, name) => (name in fields ? fields[name] : whole));
const inLanguage = (text) => (typeof text === "string" ? text : text[language()]);

function time(ns) {
  const us = ns / 1000;
  if (Math.abs(us) >= 1000) return `${(us / 1000).toFixed(2)} ms`;
  return `${us.toFixed(Math.abs(us) < 10 ? 2 : 1)} µs`;
}

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// The halves as timeline_pack.py puts them together, their columns whole again.
async function unpacked(text) {
  const buffer = await inflated(text), length = new DataView(buffer).getUint32(0, true);
  const halves = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let bytes = new Uint8Array(buffer, 4 + length);
  for (const half of Object.values(halves)) {
    for (const [kind, widths] of Object.entries(half.widths)) {
      const count = half.counts[kind];
      half[kind] = {};
      for (const [name, width] of Object.entries(widths)) {
        half[kind][name] = column(bytes, count, width);
        bytes = bytes.subarray(count * width);
      }
    }
  }
  return halves;
}

// All lowest bytes come first; of the number that they make the last bit is the sign.
function column(bytes, count, width) {
  const found = new Float64Array(count);
  for (let place = width - 1; place >= 0; place--) {
    for (let at = 0; at < count; at++) found[at] = found[at] * 256 + bytes[place * count + at];
  }
  return found.map((value) => (value % 2 ? -(value + 1) / 2 : value / 2));
}

// Absolute begins and ends in ns, what was told from these, and where each row's spans lie.
function placed(spans, rowsCount) {
  const count = spans.row.length;
  const start = new Float64Array(count), end = new Float64Array(count);
  const first = new Int32Array(rowsCount + 1).fill(count);
  for (let at = 0, now = 0, call = 0; at < count; at++) {
    start[at] = now + spans.start[at];
    now = end[at] = start[at] + spans.duration[at];
    if (spans.gap) spans.gap[at] += spans.start[at];
    if (spans.call) call = spans.call[at] += call;
  }
  for (let at = count - 1; at >= 0; at--) first[spans.row[at]] = at;
  for (let row = rowsCount - 1; row >= 0; row--) first[row] = Math.min(first[row], first[row + 1]);
  return { ...spans, start, end, first, count };
}

function decoded(half) {
  const rows = half.rows.map(([what, process, number]) => ({ what, process, number }));
  const operations = placed(half.operations, rows.length), calls = placed(half.calls, rows.length);
  const launched = new Int32Array(calls.count).fill(-1);
  for (let at = 0; at < operations.count; at++) {
    const call = operations.call[at];
    if (call >= 0 && (launched[call] < 0 || operations.start[at] < operations.start[launched[call]])) launched[call] = at;
  }
  return { ...half, rows, operations, calls, launched, ...laidOut(rows) };
}

// Where each row lies, from the top, in pixels: threads, then idle time, then streams; rank after rank.
function laidOut(rows) {
  const size = rows.length > MANY_ROWS ? DENSE : ROOMY;
  const idle = new Map(), bands = [];
  let y = size.top;
  rows.forEach((row, at) => {
    if (at === 0 || rows[at - 1].process !== row.process) {
      if (at) y += size.between;
      bands.push({ process: row.process, top: y - size.between / 2, bottom: y });
    }
    if (row.what === "gpu" && !idle.has(row.process)) {
      idle.set(row.process, { top: y, bottom: y + size.idle });
      y += size.idle + 1;
    }
    Object.assign(row, { top: y, bottom: y + size.row });
    y += size.row + 1;
    bands[bands.length - 1].bottom = y + size.between / 2;
  });
  return { idle, bands, height: y + 2, size };
}

// The timeline: pointing, choosing, moving about and zooming, by mouse, finger and keyboard.

const same = (one, other) => one?.half === other?.half && one?.what === other?.what && one?.at === other?.at;

function hover(item, event) {
  const tip = part(".tl-tip");
  if (!same(item, state.hovered)) {
    state.hovered = item;
    tip.hidden = !item;
    if (item) describe(tip, item);
    requestMarks();
  }
  if (!item) return;
  const area = part(".tl-figure").getBoundingClientRect(), x = event.clientX - area.left, y = event.clientY - area.top;
  tip.style.left = `${Math.max(0, Math.min(x + 14, area.width - tip.offsetWidth - 4))}px`;
  const below = event.clientY + 20 + tip.offsetHeight < innerHeight;
  tip.style.top = `${below ? y + 18 : y - tip.offsetHeight - 12}px`;
}

function choose(item) {
  state.chosen = item;
  show();
  requestMarks();
}

const show = () => describe(part(".tl-panel"), state.chosen);

function setRange(start, end) {
  const [low, high] = state.bounds, width = Math.min(Math.max(end - start, 1e-3), high - low);
  const from = Math.min(Math.max(start, low), high - width);
  state.range.setv({ start: from, end: from + width });
}

function zoom(factor, about) {
  const { start, end } = state.range, centre = about ?? (start + end) / 2;
  setRange(centre - (centre - start) * factor, centre + (end - centre) * factor);
}

function pan(share) {
  const { start, end } = state.range, by = (end - start) * share;
  setRange(start + by, end + by);
}

const iterationNumbers = (half) => [...new Set(state.halves[half].iterations.map(([, number]) => number))];

function oneIteration() {
  const { iterations } = state.halves.off, number = iterationNumbers("off")[0];
  const own = iterations.filter((one) => one[1] === number);
  const start = Math.min(...own.map((one) => one[2])) / 1e6, end = Math.max(...own.map((one) => one[3])) / 1e6;
  setRange(start - (end - start) * 0.03, end + (end - start) * 0.03);
}

const inSight = () => {
  if (!state.chosen) return undefined;
  const middle = spansOf(state.chosen).start[state.chosen.at] / 1e6;
  return middle >= state.range.start && middle <= state.range.end ? middle : undefined;
};

const ACTIONS = {
  zoomIn: () => zoom(0.5, inSight()), zoomOut: () => zoom(2, inSight()), earlier: () => pan(-0.4), later: () => pan(0.4),
  reset: oneIteration, all: () => setRange(...state.bounds),
};

function reveal(item) {
  const spans = spansOf(item), start = spans.start[item.at] / 1e6, end = spans.end[item.at] / 1e6;
  const { start: low, end: high } = state.range;
  if (start < low || end > high) setRange(start - (high - low) / 4, start + (high - low) * 0.75);
}

function zoomTo(item) {
  const spans = spansOf(item), call = item.what === "call" ? item.at : spans.call[item.at];
  const begin = call >= 0 ? state.halves[item.half].calls.start[call] : spans.start[item.at];
  const start = Math.min(begin, spans.start[item.at]) / 1e6, end = spans.end[item.at] / 1e6;
  setRange(start - (end - start), end + (end - start));
}

function step(name, by) {
  const item = state.chosen?.half === name ? state.chosen : null;
  if (!item) return enter(name, state.halves[name].rows.findIndex((row) => row.what === "gpu"), state.range.start * 1e6);
  const spans = spansOf(item), row = spans.row[item.at], at = item.at + by;
  if (at < spans.first[row] || at >= spans.first[row + 1]) return;
  choose({ half: name, what: item.what === "call" ? "call" : "operation", at });
  reveal(state.chosen);
}

// The first span of a row that begins at or after a time, or its last.
function enter(name, row, now) {
  const half = state.halves[name], what = half.rows[row]?.what === "gpu" ? "operation" : "call";
  const spans = what === "call" ? half.calls : half.operations;
  if (row < 0 || row >= half.rows.length || spans.first[row] === spans.first[row + 1]) return;
  const after = lastBefore(spans, row, now - 1) + 1 || spans.first[row];
  choose({ half: name, what, at: Math.min(after, spans.first[row + 1] - 1) });
  reveal(state.chosen);
}

function otherRow(name, by) {
  const item = state.chosen?.half === name ? state.chosen : null;
  if (!item) return step(name, 0);
  enter(name, spansOf(item).row[item.at] + by, spansOf(item).start[item.at]);
}

function key(name, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    ArrowLeft: () => (event.shiftKey ? pan(-0.2) : step(name, -1)), ArrowRight: () => (event.shiftKey ? pan(0.2) : step(name, 1)),
    ArrowUp: () => otherRow(name, -1), ArrowDown: () => otherRow(name, 1),
    "+": ACTIONS.zoomIn, "=": ACTIONS.zoomIn, "-": ACTIONS.zoomOut, Home: oneIteration, End: ACTIONS.all,
    Enter: () => state.chosen && zoomTo(state.chosen), Escape: () => choose(null),
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}

function listen(name) {
  const view = state.views[name], events = view.canvas_view.events_el;
  const at = (event) => {
    const area = events.getBoundingClientRect(), { x_scale: x, y_scale: y } = view.frame;
    const sx = event.clientX - area.left, sy = event.clientY - area.top;
    const near = Math.abs(x.invert(sx + NEAR_PX) - x.invert(sx)) * 1e6;
    return pick(name, x.invert(sx) * 1e6, y.invert(sy), near);
  };
  let pressed = null;
  events.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") hover(event.buttons ? null : at(event), event);
  });
  events.addEventListener("pointerleave", () => hover(null));
  events.addEventListener("pointerdown", ({ clientX, clientY }) => { pressed = { clientX, clientY }; });
  // Where it was pressed: a click tells whole dots, and what is thin would be pointed at and not chosen.
  events.addEventListener("click", (event) => {
    const begun = pressed ?? event;
    if (Math.hypot(event.clientX - begun.clientX, event.clientY - begun.clientY) <= 4) choose(at(begun));
  });
  events.addEventListener("keydown", (event) => key(name, event));
  // Fingers scroll the page up and down and move the timeline sideways.
  events.style.touchAction = "pan-y";
}

// A wheel scrolls the page, until the timeline was clicked or with Ctrl: then it reaches the library, which zooms.
function keepWheel(event) {
  const focused = document.activeElement !== document.body && part(".tl-figure").contains(document.activeElement);
  if (!event.ctrlKey && !focused) event.stopPropagation();
}

async function open(at) {
  const pair = pairs[at];
  section.dataset.shown = "";
  state.wanted = at;
  const content = await unpacked(pair.data);
  if (state.wanted !== at) return;
  state.pair = pair;
  state.hovered = state.chosen = null;
  for (const name of HALVES) state.halves[name] = decoded(content[name]);
  for (const name of HALVES) fill(name);
  state.given = null;
  const ends = HALVES.flatMap((name) => state.halves[name].iterations.map((one) => one[3]));
  const starts = HALVES.flatMap((name) => Array.from(state.halves[name].calls.start.slice(0, 1)));
  const low = Math.min(0, ...starts) / 1e6, high = Math.max(...ends) / 1e6, spare = (high - low) * 0.01;
  state.bounds = [low - spare, high + spare];
  state.range.setv({ bounds: state.bounds, min_interval: 1e-3, max_interval: state.bounds[1] - state.bounds[0] });
  oneIteration();
  supply();
  sayAll();
  requestMarks();
  section.dataset.shown = String(at);
}

// The page's policy knows the library by its hash, as it does the scripts that stand in the page unpacked.
async function loadLibrary() {
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await inflated(document.getElementById("timeline-library").textContent));
  document.head.append(script);
  script.remove();
}

async function begin() {
  await loadLibrary();
  await Bokeh.embed.embed_item(read("timeline-document"), "timeline-plots");
  state.document = Bokeh.documents[Bokeh.documents.length - 1];
  state.range = state.document.get_model_by_name("time");
  for (const name of HALVES) {
    state.plots[name] = state.document.get_model_by_name(name);
    state.views[name] = Bokeh.index.find_one(state.plots[name]);
  }
  colours();
  const select = part("select");
  pairs.forEach((pair, at) => select.append(new Option(inLanguage(pair.label), at)));
  select.addEventListener("change", () => open(Number(select.value)));
  for (const button of section.querySelectorAll("[data-do]")) button.addEventListener("click", () => ACTIONS[button.dataset.do]());
  part("details").addEventListener("toggle", () => { if (part("details").open) table(); });
  state.range.change.connect(() => { supply(); requestMarks(); });
  HALVES.forEach(listen);
  part(".tl-figure").addEventListener("wheel", keepWheel, { capture: true, passive: true });
  document.addEventListener("themechange", colours);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colours);
  document.addEventListener("languagechange", sayAll);
  // Paper waits for no frame: what the change of theme asked for is drawn at once.
  addEventListener("beforeprint", () => HALVES.forEach((name) => state.views[name].repaint()));
  let narrow = isNarrow();
  new ResizeObserver(() => {
    if (state.pair && narrow !== isNarrow()) HALVES.forEach(nameHalf);
    narrow = isNarrow();
  }).observe(section);
  await open(0);
}

begin().catch((error) => { part(".tl-figure").textContent = say("failed", { why: error.message }); });

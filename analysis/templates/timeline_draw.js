// The timeline: what the library's sources are filled with, in the colours of the page.

const source = (half, layer) => state.document.get_model_by_name(`${half}:${layer}:data`);
const glyph = (half, layer) => state.document.get_model_by_name(`${half}:${layer}`).glyph;

// Spans on their way into a source: begins and ends in ns, tops and bottoms in pixels.
class Rectangles {
  constructor() { this.left = []; this.right = []; this.top = []; this.bottom = []; }
  add(start, end, { top, bottom }) {
    this.left.push(start / 1e6); this.right.push(end / 1e6); this.top.push(top); this.bottom.push(bottom);
  }
  // Those that reach into a stretch of time (ms) and last at least so long, as a source takes them.
  within(from, until, least = 0) {
    const kept = [], { left, right } = this;
    for (let at = 0; at < left.length; at++) {
      if (right[at] >= from && left[at] <= until && right[at] - left[at] >= least) kept.push(at);
    }
    const columns = { left: this.left, right: this.right, top: this.top, bottom: this.bottom };
    return Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [name, Float64Array.from(kept, (at) => values[at])]),
    );
  }
}

function rectangles(half) {
  const layers = Object.fromEntries(SPAN_LAYERS.map((name) => [name, new Rectangles()]));
  const { operations, calls, rows, idle, bands } = half;
  bands.forEach((band, at) => {
    if (at % 2) layers.band.add(-FOREVER_NS, FOREVER_NS, band);
    const own = half.iterations.filter(([process]) => process === band.process), streams = idle.get(band.process);
    if (!streams) return;
    layers.beyond.add(-FOREVER_NS, Math.min(...own.map((one) => one[2])), { top: streams.top, bottom: band.bottom });
    layers.beyond.add(Math.max(...own.map((one) => one[3])), FOREVER_NS, band);
  });
  for (let at = 0; at < operations.count; at++) {
    const row = rows[operations.row[at]], start = operations.start[at], gap = operations.gap[at];
    const name = `op-${CLASSES[operations.class[at]]}`;
    // A rank spins from its arrival on; only what follows the last rank's arrival is work.
    if (operations.wait[at] > 0) layers.waiting.add(start, start + operations.wait[at], row);
    layers[name].add(start + operations.wait[at], operations.end[at], row);
    if (gap > 0) layers[`idle-${cause(operations, at)}`].add(start - gap, start, idle.get(row.process));
  }
  for (let at = 0; at < calls.count; at++) {
    layers[`call-${CALL_CLASSES[calls.class[at]]}`].add(calls.start[at], calls.end[at], rows[calls.row[at]]);
  }
  return layers;
}

function cause(operations, at) {
  const name = CAUSES[operations.cause[at]];
  return name === "launch" || name === "dependency" || name === "graph" ? name : "unknown";
}

function lines(list) {
  const columns = { x0: [], y0: [], x1: [], y1: [] };
  for (const [x0, y0, x1, y1] of list) {
    columns.x0.push(x0 / 1e6); columns.y0.push(y0); columns.x1.push(x1 / 1e6); columns.y1.push(y1);
  }
  return columns;
}

function fill(name) {
  const half = state.halves[name], plot = state.plots[name];
  half.layers = rectangles(half);
  const boundaries = [];
  for (const [process, , start, end] of half.iterations) {
    const band = half.bands.find((one) => one.process === process);
    if (band) for (const at of [start, end]) boundaries.push([at, band.top, at, band.bottom]);
  }
  source(name, "boundary").data = lines(boundaries);
  half.present = new Set(SPAN_LAYERS.filter((layer) => half.layers[layer].left.length));
  plot.y_range.setv({ start: half.height, end: 0 });
  plot.frame_height = half.height;
}

// The library draws all that it has, in sight or not: give it what lies near, again when that is left or far too much.
function supply() {
  const { start, end } = state.range, width = end - start, given = state.given;
  const enough = given && given.from <= start && given.until >= end && given.until - given.from < 6 * width;
  if (enough) return;
  state.given = { from: start - width, until: end + width };
  for (const name of HALVES) {
    const { layers } = state.halves[name];
    for (const layer of SPAN_LAYERS) {
      // Before every operation there is a gap; those of a hundredth of a pixel would double the time that drawing takes.
      const least = layer.startsWith("idle") ? width / UNSEEN : 0;
      source(name, layer).data = layers[layer].within(start - width, end + width, least);
    }
  }
}

function colours() {
  const style = getComputedStyle(section);
  const colour = (name) => style.getPropertyValue(`--tl-${name}`).trim();
  for (const name of HALVES) {
    for (const layer of LEGEND) glyph(name, layer).fill_color = layer === "beyond" ? null : colour(layer);
    for (const layer of HATCHED) glyph(name, layer).hatch_color = colour(`${layer}-hatch`);
    glyph(name, "band").fill_color = colour("band");
    glyph(name, "boundary").line_color = colour("faint");
    glyph(name, "number").text_color = colour("faint");
    glyph(name, "links").setv({ line_color: colour("link"), line_alpha: 0.25 });
    for (const layer of ["link", "chosen"]) glyph(name, layer).line_color = colour("link");
    glyph(name, "tip").fill_color = colour("link");
    const plot = state.plots[name], ink = colour("ink"), line = colour("line");
    plot.setv({ background_fill_color: colour("paper"), border_fill_color: null, outline_line_color: line });
    plot.title.text_color = ink;
    for (const axis of [...plot.below, ...plot.left].filter((one) => "major_label_text_color" in one)) {
      axis.setv({
        major_label_text_color: ink, axis_label_text_color: ink, axis_line_color: line, minor_tick_line_color: null,
        major_tick_line_color: axis === plot.left[0] ? null : line,
      });
    }
    for (const grid of plot.center) if ("grid_line_color" in grid) grid.grid_line_color = colour("band");
  }
}

function arrow(half, operation) {
  const { operations, calls, rows } = half, call = operations.call[operation];
  if (call < 0) return null;
  const from = rows[calls.row[call]], to = rows[operations.row[operation]];
  return [calls.end[call], from.bottom, operations.start[operation], to.top];
}

function shownLinks(half) {
  const { start, end } = state.range, found = [];
  for (let at = 0; at < half.operations.count; at++) {
    const call = half.operations.call[at];
    if (call < 0 || half.launched[call] !== at) continue;
    if (half.operations.start[at] / 1e6 < start || half.operations.start[at] / 1e6 > end) continue;
    if (found.length >= FEW_LINKS) return [];
    found.push(arrow(half, at));
  }
  return found;
}

function marks() {
  state.requested = false;
  for (const name of HALVES) {
    const half = state.halves[name], outline = new Rectangles(), bold = [];
    for (const item of [state.chosen, state.hovered]) {
      if (item?.half !== name) continue;
      const spans = spansOf(item), gap = item.what === "gap" ? half.operations.gap[item.at] : 0;
      const where = gap ? half.idle.get(rowOf(item).process) : rowOf(item);
      outline.add(gap ? spans.start[item.at] - gap : spans.start[item.at], gap ? spans.start[item.at] : spans.end[item.at], where);
      const operation = item.what === "call" ? half.launched[item.at] : item.at;
      if (operation >= 0) bold.push(arrow(half, operation));
    }
    source(name, "chosen").data = outline.within(-Infinity, Infinity);
    source(name, "link").data = lines(bold.filter(Boolean));
    source(name, "links").data = lines(shownLinks(half));
    source(name, "number").data = numbers(name);
  }
}

// The iterations of the first rank by number, as far as there is room to write it.
function numbers(name) {
  const half = state.halves[name], process = half.bands[0].process, { start, end } = state.range;
  const own = half.iterations.filter((one) => one[0] === process);
  const frame = state.views[name].frame.bbox.width / (end - start) / 1e6;
  const width = Math.min(...own.map((one) => one[3] - one[2])) * frame;
  const shown = width < 14 ? [] : own;
  return {
    x: shown.map((one) => one[2] / 1e6), y: shown.map(() => half.bands[0].top + 2),
    text: shown.map(([, number]) => (width < 80 ? String(number) : say("iteration", { number }))),
  };
}

function requestMarks() {
  if (!state.requested) requestAnimationFrame(marks);
  state.requested = true;
}


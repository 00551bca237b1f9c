// The timeline: its texts, what lies where the reader points, and all that is known of it.

// Everything that is words, and so depends on the language.
function sayAll() {
  if (!state.pair) return;
  for (const element of section.querySelectorAll("[data-message]")) element.textContent = say(element.dataset.message);
  for (const button of section.querySelectorAll("[data-do]")) {
    button.setAttribute("aria-label", say(button.dataset.do));
    button.title = say(button.dataset.do);
  }
  const select = part("select");
  pairs.forEach((pair, at) => { select.options[at].textContent = inLanguage(pair.label); });
  part(".tl-printed").textContent = inLanguage(state.pair.label);
  part(".tl-mark").textContent = inLanguage(state.pair.mark);
  const counts = Object.fromEntries(HALVES.map((half) => [half, iterationNumbers(half).length]));
  part(".tl-shown").textContent = say("shown", counts);
  part(".tl-left-out").textContent = leftOut.length ? say("leftOut", { names: leftOut.map(inLanguage).join("; ") }) : "";
  legend();
  HALVES.forEach(nameHalf);
  requestMarks();
  show();
  if (part("details").open) table();
}

function nameHalf(name) {
  const half = state.halves[name], plot = state.plots[name];
  const narrow = isNarrow();
  plot.title.text = say(narrow ? "titleShort" : "title", { half: say(name), ms: (half.iteration_ns / 1e6).toFixed(2) });
  plot.below[0].axis_label = name === "on" ? say(narrow ? "timeShort" : "time") : null;
  const axis = plot.left[0], labels = new Map();
  axis.ticker.ticks = half.rows.map(({ top, bottom }) => (top + bottom) / 2);
  half.rows.forEach((row, at) => labels.set(axis.ticker.ticks[at], rowName(row, narrow)));
  axis.setv({ major_label_overrides: labels, major_label_text_font_size: half.size.font });
  plot.min_border_left = narrow ? 44 : 112;
  const events = state.views[name].canvas_view.events_el;
  events.setAttribute("role", "application");
  events.setAttribute("aria-label", say("figure", { half: say(name), pair: inLanguage(state.pair.label) }));
}

const isNarrow = () => section.clientWidth < 600;

function rowName({ what, process, number }, narrow) {
  if (process < 0) return narrow ? "CPU" : say("thread");
  return say(narrow ? `${what}Short` : what, { rank: process, number });
}

function legend() {
  const list = part(".tl-legend");
  list.replaceChildren();
  for (const layer of LEGEND) {
    if (!HALVES.some((half) => state.halves[half].present.has(layer))) continue;
    const item = document.createElement("li"), swatch = document.createElement("span");
    swatch.dataset.layer = layer;
    if (!HATCHED.includes(layer)) swatch.style.background = `var(--tl-${layer})`;
    item.append(swatch, (layer.startsWith("idle") ? say("idle") : "") + say(layer));
    list.append(item);
  }
}

// What is pointed at or chosen is {half, what: "operation" | "gap" | "call", at}.
const spansOf = (item) => state.halves[item.half][item.what === "call" ? "calls" : "operations"];
const rowOf = (item) => state.halves[item.half].rows[spansOf(item).row[item.at]];

// The last of the row's spans that begins at or before a time (ns), or -1.
function lastBefore(spans, row, now) {
  let low = spans.first[row] - 1, high = spans.first[row + 1] - 1;
  const none = low;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (spans.start[middle] <= now) low = middle; else high = middle - 1;
  }
  return low === none ? -1 : low;
}

function spanAt(spans, row, now, near) {
  const last = lastBefore(spans, row, now + near);
  // Spans of a row may overlap a little, as dependent launches do.
  for (let at = last; at >= 0 && at > last - 8 && at >= spans.first[row]; at--) {
    if (spans.start[at] <= now && now <= spans.end[at]) return at;
  }
  for (let at = last; at >= 0 && at > last - 2 && at >= spans.first[row]; at--) {
    if (spans.start[at] - near <= now && now <= spans.end[at] + near) return at;
  }
  return -1;
}

function gapAt(half, process, now) {
  const { rows, operations } = half;
  for (let row = 0; row < rows.length; row++) {
    if (rows[row].what !== "gpu" || rows[row].process !== process) continue;
    const next = lastBefore(operations, row, now) + 1 || operations.first[row];
    if (next < operations.first[row + 1] && operations.start[next] - operations.gap[next] <= now) return next;
  }
  return -1;
}

function pick(name, now, y, near) {
  const half = state.halves[name];
  const row = half.rows.findIndex(({ top, bottom }) => top - 1 <= y && y <= bottom);
  if (row >= 0) {
    const what = half.rows[row].what === "gpu" ? "operation" : "call";
    const at = spanAt(what === "call" ? half.calls : half.operations, row, now, near);
    if (at >= 0) return { half: name, what, at };
    if (what === "call") return null;
  }
  const band = half.bands.find(({ top, bottom }) => top <= y && y <= bottom);
  const at = band ? gapAt(half, band.process, now) : -1;
  return at >= 0 ? { half: name, what: "gap", at } : null;
}

function facts(item) {
  const half = state.halves[item.half], spans = spansOf(item), at = item.at, row = rowOf(item);
  if (item.what === "call") return callFacts(half, at, row);
  const { operations } = half, gap = operations.gap[at], why = CAUSES[operations.cause[at]];
  const list = [];
  if (item.what === "operation") {
    list.push(["what", say(`op-${CLASSES[operations.class[at]]}`)], ["lasts", time(operations.duration[at])]);
    if (operations.wait[at] > 0) list.push(["waited", time(operations.wait[at])]);
  }
  if (gap > 0) list.push(["gapBefore", time(gap)], ["why", say(`idle-${cause(operations, at)}`)]);
  else if (gap < 0) list.push(["overlap", time(-gap)]);
  else list.push(["gapBefore", why === undefined || why === "unknown" ? say("idle-unknown") : say("noGap")]);
  if (item.what === "gap") list.push(["until", half.names[operations.name[at]][0]]);
  const call = operations.call[at];
  const name = call < 0 ? say("notRecorded") : half.names[half.calls.name[call]][0];
  const before = call < 0 ? "" : `, ${say("launchedBefore", { time: time(spans.start[at] - half.calls.start[call]) })}`;
  list.push(["launchedBy", name + before]);
  list.push(["begins", `${(spans.start[at] / 1e6).toFixed(4)} ms`]);
  const iteration = operations.iteration[at];
  list.push(["inIteration", iteration < 0 ? say("outside") : String(iteration)]);
  list.push(["where", say("stream", { rank: row.process, number: row.number })]);
  const [short, full] = half.names[operations.name[at]];
  return { title: item.what === "gap" ? say("gapTitle") : short, list, full: full === short ? "" : full };
}

function callFacts(half, at, row) {
  const { calls, operations, launched } = half, first = launched[at];
  const list = [["what", say(`call-${CALL_CLASSES[calls.class[at]]}`)], ["lasts", time(calls.duration[at])]];
  if (first >= 0) {
    const name = half.names[operations.name[first]][0];
    list.push(["launches", say("ranAfter", { name, time: time(operations.start[first] - calls.end[at]) })]);
  }
  list.push(["begins", `${(calls.start[at] / 1e6).toFixed(4)} ms`]);
  const where = row.process < 0 ? `${say("thread")} ${row.number}` : say("threadOf", { rank: row.process, number: row.number });
  list.push(["where", where]);
  return { title: half.names[calls.name[at]][0], list, full: "" };
}

function describe(element, item) {
  element.replaceChildren();
  if (!item) { element.textContent = say("nothing"); return; }
  const { title, list, full } = facts(item);
  const name = document.createElement("div"), table = document.createElement("dl");
  name.className = "tl-name";
  name.textContent = title;
  for (const [key, value] of full ? [...list, ["fullName", full]] : list) {
    const term = document.createElement("dt"), told = document.createElement("dd");
    const fact = document.createElement("div");
    term.textContent = say(key);
    told.textContent = value;
    if (key === "fullName") fact.className = "tl-long";
    fact.append(term, told);
    table.append(fact);
  }
  element.append(name, table);
}

function table() {
  const place = part(".tl-table");
  place.replaceChildren();
  for (const name of HALVES) place.append(tableOf(name));
}

function tableOf(name) {
  const half = state.halves[name], { operations, rows } = half, made = document.createElement("table");
  const [process, number] = half.iterations[0];
  made.createCaption().textContent = `${say(name)}, ${say("iteration", { number })}`;
  const head = made.createTHead().insertRow(), body = made.createTBody();
  const columns = ["number", "beginUs", "name", "kind", "lastsUs", "gapUs", "why", "waitUs"];
  for (const column of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = say(column);
    head.append(cell);
  }
  const own = [];
  for (let at = 0; at < operations.count; at++) {
    if (rows[operations.row[at]].process === process && operations.iteration[at] === number) own.push(at);
  }
  own.sort((one, other) => operations.start[one] - operations.start[other]);
  const us = (ns) => (ns / 1000).toFixed(2);
  own.forEach((at, place) => {
    const gap = operations.gap[at], row = body.insertRow();
    const cells = [
      place + 1, us(operations.start[at]), half.names[operations.name[at]][0], say(`op-${CLASSES[operations.class[at]]}`),
      us(operations.duration[at]), us(Math.max(gap, 0)), gap > 0 ? say(`idle-${cause(operations, at)}`) : "", us(operations.wait[at]),
    ];
    cells.forEach((text, column) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (![2, 3, 6].includes(column)) cell.className = "tl-figures";
    });
  });
  return made;
}

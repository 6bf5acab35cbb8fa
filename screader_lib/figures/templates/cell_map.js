// The map of cells, drawn into a canvas pixel by pixel from the bytes that cell_map.py writes.
"use strict";
(async () => {
const byId = (id) => document.getElementById(id);
const root = byId("cell-map"), stored = byId("cell-map-content");
const canvas = byId("map-canvas"), context = canvas?.getContext("2d");
if (!context || !stored || typeof DecompressionStream === "undefined") return;

const { header, columns, names } = await unpack(stored.textContent);
const { x, y } = header, count = header.cells;
const tip = byId("map-tip"), legend = byId("map-legend"), search = byId("map-search");
const NONE = "(none)", THEMES = {      // numbers, low to high; cells out of focus, and without a value
  light: { ramp: ["#cdd2d9", "#8fbcd4", "#4c8fc0", "#3b57a6", "#2a1763"], faded: "#e1e4e8", none: "#b8b8b8" },
  dark: { ramp: ["#39424e", "#2f6690", "#3fa0b8", "#8ed7a8", "#f4f1a5"], faded: "#2c3138", none: "#6b7178" },
};
const isDark = window.matchMedia("(prefers-color-scheme: dark)");
const HOVER = 9, FEW = 3, MOST_LABELS = 80, OWN = "your names";

let shown = columns[header.first];
let isolated = new Set();             // codes of the shown column
let pointedAt = -1;                   // the type under the pointer in the legend
let selected = new Uint8Array(count), selectedCells = 0;
let named = [];                       // {label, cells}: later ones win
let colourOf = new Uint32Array(count), isFaded = new Uint8Array(count);
let order = new Uint32Array(count), firstInFocus = 0, labels = [];
let view, scale = 2, width = 0, height = 0, pixels, image, wanted = false;
let lassoing = false, path = null, hovered = -1;
const shuffled = shuffle(count), grid = makeGrid();

// ---- what is stored

async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  const end = bytes.byteLength - 8, lengths = new DataView(bytes, end);
  const [ofNames, ofHeader] = [0, 4].map((place) => lengths.getUint32(place, true));
  const decode = (from, to) => JSON.parse(new TextDecoder().decode(bytes.slice(from, to)));
  const header = decode(end - ofHeader, end);
  let at = 0;
  const take = (size) => {
    const part = bytes.slice(at, (at += size * header.cells));
    return size === 1 ? new Uint8Array(part) : new Uint16Array(part);
  };
  header.x = take(2);
  header.y = take(2);
  const names = decode(at, (at += ofNames));
  const columns = header.columns.map((column) => finished({ ...column, codes: take(column.bytes) }));
  return { header, columns, names };
}

function finished(column) {
  const missing = column.bytes === 1 ? 255 : 65535;
  if (!column.names) return { ...column, missing };
  const sizes = new Uint32Array(column.names.length + 1);
  for (const code of column.codes) sizes[code === missing ? column.names.length : code]++;
  return { ...column, missing, sizes };
}

function valueOf(column, cell) {
  const code = column.codes[cell];
  if (column.names) return code === column.missing ? NONE : column.names[code];
  return code === column.missing ? "–" : number(numberOf(column, code));
}

function numberOf(column, code) {
  return column.low + (code / (column.missing - 1)) * (column.high - column.low);
}

function number(value) {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(2);
}

function shuffle(size) {              // always the same order, so that no type hides another
  const result = Uint32Array.from({ length: size }, (_, i) => i);
  let state = 1;
  for (let i = size - 1; i > 0; i--) {
    state = (state * 48271) % 2147483647;
    const j = state % (i + 1), kept = result[i];
    result[i] = result[j];
    result[j] = kept;
  }
  return result;
}

// ---- colours

function theme() {
  const style = getComputedStyle(document.documentElement);
  const [ink, paper] = ["--ink", "--paper"].map((name) => style.getPropertyValue(name));
  return { ink, paper, ...THEMES[isDark.matches ? "dark" : "light"] };
}

function colourFor(column, code) {
  if (code === column.missing) return theme().none;
  return (isDark.matches ? column.bright : column.colours)[code];
}

function rgb(colour) {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
}

function packed([red, green, blue]) {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

function onRamp(ramp, share) {
  const at = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(at), ramp.length - 2);
  const [from, to] = [rgb(ramp[low]), rgb(ramp[low + 1])];
  return from.map((part, i) => Math.round(part + (to[i] - part) * (at - low)));
}

function recolour() {
  const { ramp, ...others } = theme(), { codes, missing } = shown;
  const [faded, none] = [others.faded, others.none].map((colour) => packed(rgb(colour)));
  const [low, high] = shown.names ? [0, 0] : shown.shown;
  const table = shown.names
    ? shown.names.map((_, code) => packed(rgb(colourFor(shown, code))))
    : Array.from({ length: missing }, (_, code) => packed(onRamp(ramp, (code - low) / (high - low || 1))));
  const only = pointedAt >= 0 ? new Set([pointedAt]) : isolated;
  for (let cell = 0; cell < count; cell++) {
    const code = codes[cell];
    isFaded[cell] = (only.size && !only.has(code)) || (selectedCells && !selected[cell]) ? 1 : 0;
    colourOf[cell] = isFaded[cell] ? faded : code === missing ? none : table[code];
  }
  // Faded cells at the back, then those without a value; the highest numbers in front.
  const layers = shown.names ? 3 : 258, starts = new Uint32Array(layers + 1), step = missing / 255;
  const layer = (cell) => {
    if (isFaded[cell]) return 0;
    if (codes[cell] === missing) return 1;
    return shown.names ? 2 : 2 + Math.floor(codes[cell] / step);
  };
  for (let cell = 0; cell < count; cell++) starts[layer(cell) + 1]++;
  firstInFocus = starts[1];
  for (let i = 1; i <= layers; i++) starts[i] += starts[i - 1];
  for (const cell of shuffled) order[starts[layer(cell)]++] = cell;
  redraw();
}

// ---- drawing

function redraw() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    draw();
  });
}

function resize() {
  const box = canvas.getBoundingClientRect();
  if (!box.width || !box.height) return;
  scale = Math.min(3, Math.max(2, window.devicePixelRatio || 1));  // smooths the edges of cells
  width = canvas.width = Math.round(box.width * scale);
  height = canvas.height = Math.round(box.height * scale);
  image = context.createImageData(width, height);
  pixels = new Uint32Array(image.data.buffer);
  if (!view) showAll();
  draw();
}

function fitted() {
  return 0.94 * Math.min(width / header.width, height / header.height);
}

function showAll() {
  view = { zoom: 1, x: header.width / 2, y: header.height / 2 };
}

function toScreen(cell) {
  const size = fitted() * view.zoom;
  return [(x[cell] - view.x) * size + width / 2, (view.y - y[cell]) * size + height / 2];
}

function radius() {
  const base = count < 3000 ? 2.6 : count < 20000 ? 1.7 : count < 80000 ? 1.15 : 0.8;
  const room = Math.min(1, Math.max(0.6, width / scale / 700));
  return Math.min(6, base * room * Math.sqrt(view.zoom)) * scale;
}

function draw() {
  if (!pixels) return;
  pixels.fill(0);
  const size = fitted() * view.zoom, reach = radius(), whole = Math.ceil(reach);
  const steps = [];
  for (let down = -whole; down <= whole; down++)
    for (let right = -whole; right <= whole; right++)
      if (down * down + right * right <= reach * reach) steps.push(down * width + right);
  const dot = Int32Array.from(steps), dots = dot.length;
  const left = width / 2 - view.x * size, top = height / 2 + view.y * size;
  for (let i = 0; i < count; i++) {
    const cell = order[i];
    const right = (x[cell] * size + left) | 0, down = (top - y[cell] * size) | 0;
    if (right < whole || down < whole || right >= width - whole || down >= height - whole) continue;
    const at = down * width + right, colour = colourOf[cell];
    for (let j = 0; j < dots; j++) pixels[at + dot[j]] = colour;
  }
  context.putImageData(image, 0, 0);
  drawLabels();
  if (hovered >= 0) drawRing(hovered);
  if (path) drawPath();
}

function drawRing(cell) {
  context.beginPath();
  context.arc(...toScreen(cell), radius() + 3 * scale, 0, 7);
  context.lineWidth = 2 * scale;
  context.strokeStyle = theme().ink;
  context.stroke();
}

function drawPath() {
  context.beginPath();
  for (const [right, down] of path) context.lineTo(right * scale, down * scale);
  context.closePath();
  context.lineWidth = 1.5 * scale;
  context.strokeStyle = theme().ink;
  context.fillStyle = "rgba(70, 140, 220, .15)";
  context.fill();
  context.stroke();
}

function placeLabels() {              // each at the cell of its type nearest to their median
  labels = [];
  if (!shown.names || shown.group !== "calls" || shown.names.length > MOST_LABELS) return;
  const cells = shown.names.map(() => []);
  for (const cell of shuffled) {
    const list = cells[shown.codes[cell]];
    if (list && list.length < 400) list.push(cell);
  }
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  cells.forEach((list, code) => {
    if (!list.length) return;
    const right = median(list.map((cell) => x[cell])), up = median(list.map((cell) => y[cell]));
    const away = (cell) => (x[cell] - right) ** 2 + (y[cell] - up) ** 2;
    const cell = list.reduce((best, one) => (away(one) < away(best) ? one : best));
    const spread = Math.sqrt(median(list.map(away))), name = shown.names[code];
    labels.push({ code, cell, spread, text: name.length > 26 ? name.slice(0, 25) + "…" : name });
  });
  labels.sort((a, b) => shown.sizes[b.code] - shown.sizes[a.code]);
}

function drawLabels() {               // the largest types first; what would overlap is left out
  const high = 12 * scale, taken = [];
  context.font = `600 ${high}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3 * scale;
  [context.fillStyle, context.strokeStyle] = [theme().ink, theme().paper];
  const only = pointedAt >= 0 ? new Set([pointedAt]) : isolated;
  const size = fitted() * view.zoom;
  for (const { code, cell, spread, text } of labels) {
    if (only.size ? !only.has(code) : shown.sizes[code] < FEW && view.zoom < 2) continue;
    const half = context.measureText(text).width / 2 + 3 * scale;
    let [place, down] = toScreen(cell);
    if (spread * size < high) down -= 0.7 * high + 1.6 * spread * size;  // it would hide so few cells
    if (place < 0 || place > width || down < 0 || down > height) continue;
    const right = Math.min(Math.max(place, half), width - half);
    down = Math.max(down, high);
    const meets = (box) => Math.abs(box[0] - right) < box[2] + half && Math.abs(box[1] - down) < high * 1.15;
    if (taken.some(meets)) continue;
    taken.push([right, down, half]);
    context.strokeText(text, right, down);
    context.fillText(text, right, down);
  }
}

// ---- which cell is where

function makeGrid() {                 // cells by square, 256 squares a side
  const starts = new Uint32Array(65537), cells = new Uint32Array(count);
  const square = (cell) => ((y[cell] >> 8) << 8) | (x[cell] >> 8);
  for (let cell = 0; cell < count; cell++) starts[square(cell) + 1]++;
  for (let i = 1; i <= 65536; i++) starts[i] += starts[i - 1];
  const next = starts.slice();
  for (let cell = 0; cell < count; cell++) cells[next[square(cell)]++] = cell;
  return { starts, cells };
}

function nearest(right, down) {       // to a place in the canvas; −1 where none is near
  const size = fitted() * view.zoom;
  const px = (right * scale - width / 2) / size + view.x;
  const py = view.y - (down * scale - height / 2) / size;
  const reach = Math.max(HOVER * scale, radius() + scale) / size;
  const part = (value) => Math.min(255, Math.max(0, Math.floor(value / 256)));
  let best = -1, least = reach * reach;
  for (let row = part(py - reach); row <= part(py + reach); row++) {
    const from = grid.starts[(row << 8) | part(px - reach)];
    const to = grid.starts[((row << 8) | part(px + reach)) + 1];
    for (let i = from; i < to; i++) {
      const cell = grid.cells[i], away = (x[cell] - px) ** 2 + (y[cell] - py) ** 2;
      if (away < least && !isFaded[cell]) [best, least] = [cell, away];
    }
  }
  return best;
}

function point(cell, right, down) {
  if (cell !== hovered) {
    hovered = cell;
    redraw();
  }
  tip.hidden = cell < 0;
  if (cell < 0) return;
  const rows = [...new Set([...header.hover.map((i) => columns[i]), shown])];
  tip.replaceChildren(made("b", names[cell]), ...rows.flatMap((column) => [
    made("span", column.name), made("span", valueOf(column, cell)),
  ]));
  const room = canvas.getBoundingClientRect();
  tip.style.left = `${Math.max(0, Math.min(right + 14, room.width - tip.offsetWidth))}px`;
  const above = down - tip.offsetHeight - 14;
  tip.style.top = `${above < 0 ? down + 18 : above}px`;
}

function made(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// ---- the legend

function show(column) {
  [shown, isolated, pointedAt] = [column, new Set(), -1];
  search.value = "";
  byId("map-search-row").hidden = !column.names;
  placeLabels();
  recolour();
  writeLegend();
}

function writeLegend() {
  if (!shown.names) {
    const [low, high] = shown.shown.map((code) => number(numberOf(shown, code)));
    const bar = made("div", "", { class: "map-ramp" }), ends = made("p", "", { class: "map-ends" });
    bar.style.background = `linear-gradient(to right, ${theme().ramp.join(", ")})`;
    ends.append(made("span", low), made("span", high));
    legend.replaceChildren(bar, ends);
    return;
  }
  const collator = new Intl.Collator("en", { numeric: true });
  const codes = shown.names.map((_, code) => code).filter((code) => shown.sizes[code]);
  codes.sort((a, b) => collator.compare(shown.names[a], shown.names[b]));
  if (shown.sizes[shown.names.length]) codes.push(shown.missing);
  legend.replaceChildren(...codes.map(entry));
  legend.append(made("p", "no such type", { class: "note", hidden: "" }));
  filter();
}

function entry(code) {
  const isNone = code === shown.missing;
  const button = made("button", "", { type: "button", "aria-pressed": isolated.has(code) });
  const swatch = made("i", "");
  swatch.style.background = colourFor(shown, code);
  button.append(swatch, made("bdi", isNone ? NONE : shown.names[code]));
  button.append(made("small", shown.sizes[isNone ? shown.names.length : code].toLocaleString("en")));
  button.addEventListener("click", (event) => isolate(code, event.shiftKey || event.ctrlKey));
  for (const [kind, value] of [["pointerenter", code], ["pointerleave", -1]])
    button.addEventListener(kind, (event) => {
      if (event.pointerType !== "mouse" || isolated.size) return;
      pointedAt = value;
      recolour();
    });
  button.dataset.code = code;
  return button;
}

function isolate(code, also) {
  const alone = isolated.has(code) && (also || isolated.size === 1);
  if (!also) isolated.clear();
  if (alone) isolated.delete(code);
  else isolated.add(code);
  pointedAt = -1;
  for (const button of legend.querySelectorAll("button"))
    button.setAttribute("aria-pressed", isolated.has(Number(button.dataset.code)));
  recolour();
  tell();
}

function filter() {
  const text = search.value.trim().toLowerCase();
  let found = 0;
  for (const button of legend.querySelectorAll("button")) {
    button.hidden = !button.querySelector("bdi").textContent.toLowerCase().includes(text);
    found += !button.hidden;
  }
  legend.querySelector("p").hidden = found > 0;
}

search.addEventListener("input", filter);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const first = legend.querySelector("button:not([hidden])");
  if (first && search.value.trim()) isolate(Number(first.dataset.code), false);
});

// ---- moving about

function zoomBy(factor, right = width / scale / 2, down = height / scale / 2) {
  const before = fitted() * view.zoom;
  view.zoom = Math.min(400, Math.max(0.5, view.zoom * factor));
  const change = 1 / before - 1 / (fitted() * view.zoom);
  view.x += (right * scale - width / 2) * change;
  view.y -= (down * scale - height / 2) * change;
  redraw();
}

function moveBy(right, down) {
  const size = (fitted() * view.zoom) / scale;
  view.x -= right / size;
  view.y += down / size;
  redraw();
}

const pointers = new Map();
let moved = false;

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event));
  moved = false;
  if (lassoing && pointers.size === 1) path = [place(event)];
  else path = null;
});

canvas.addEventListener("pointermove", (event) => {
  const [right, down] = place(event), before = pointers.get(event.pointerId);
  if (!before) {
    if (event.pointerType === "mouse") point(nearest(right, down), right, down);
    return;
  }
  if (Math.hypot(right - before[0], down - before[1]) > 2) moved = true;
  if (!moved) return;
  point(-1);
  if (path) {
    path.push([right, down]);
    redraw();
    return;
  }
  if (pointers.size === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const apart = (at) => Math.max(1, Math.hypot(at[0] - other[0], at[1] - other[1]));
    zoomBy(apart([right, down]) / apart(before), other[0], other[1]);
  } else moveBy(right - before[0], down - before[1]);
  pointers.set(event.pointerId, [right, down]);
});

function lift(event) {
  const wasDown = pointers.delete(event.pointerId), [right, down] = place(event);
  if (wasDown && path && moved && event.type === "pointerup") select(inside(path), event.shiftKey);
  else if (wasDown && !moved) point(nearest(right, down), right, down);
  path = null;
  redraw();
}
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);
canvas.addEventListener("pointerleave", (event) => {  // a lifted finger leaves, too
  if (event.pointerType === "mouse") point(-1);
});

canvas.addEventListener("wheel", (event) => {  // the page scrolls unless the map was clicked
  if (document.activeElement !== canvas && !event.ctrlKey) return;
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...place(event));
}, { passive: false });

const STEP = 60;
const KEYS = {
  ArrowLeft: () => moveBy(STEP, 0), ArrowRight: () => moveBy(-STEP, 0),
  ArrowUp: () => moveBy(0, STEP), ArrowDown: () => moveBy(0, -STEP),
  "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4),
  0: () => byId("map-all").click(), l: () => byId("map-lasso").click(),
  Escape: () => byId("map-clear").click(),
};
canvas.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
});

byId("map-in").addEventListener("click", () => zoomBy(1.6));
byId("map-out").addEventListener("click", () => zoomBy(1 / 1.6));
byId("map-all").addEventListener("click", () => {
  showAll();
  redraw();
});
byId("map-lasso").addEventListener("click", (event) => {
  lassoing = !lassoing;
  event.currentTarget.setAttribute("aria-pressed", lassoing);
  canvas.classList.toggle("lasso", lassoing);
});

// ---- selecting and naming

function inside(polygon) {            // of all cells, or those of the isolated types
  const cells = [], [lefts, tops] = [0, 1].map((i) => polygon.map((at) => at[i]));
  const box = [Math.min(...lefts), Math.max(...lefts), Math.min(...tops), Math.max(...tops)];
  for (let cell = 0; cell < count; cell++) {
    if (isolated.size && !isolated.has(shown.codes[cell])) continue;
    const [right, down] = toScreen(cell).map((value) => value / scale);
    if (right < box[0] || right > box[1] || down < box[2] || down > box[3]) continue;
    let within = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [a, b] = [polygon[i], polygon[j]];
      if (a[1] > down !== b[1] > down && right < ((b[0] - a[0]) * (down - a[1])) / (b[1] - a[1]) + a[0])
        within = !within;
    }
    if (within) cells.push(cell);
  }
  return cells;
}

function select(cells, also = false) {
  if (!also) selected.fill(0);
  for (const cell of cells) selected[cell] = 1;
  selectedCells = selected.reduce((sum, one) => sum + one, 0);
  recolour();
  tell();
  if (selectedCells) byId("map-label").focus({ preventScroll: true });
}

function tell() {
  const some = `${selectedCells.toLocaleString("en")} cell${selectedCells === 1 ? "" : "s"} selected`;
  byId("map-selected").textContent = selectedCells ? some : "";
  byId("map-naming").hidden = !selectedCells;
  byId("map-shown").hidden = !isolated.size || selectedCells > 0;
}

byId("map-shown").addEventListener("click", () => {
  const cells = [];
  for (let cell = 0; cell < count; cell++) if (isolated.has(shown.codes[cell])) cells.push(cell);
  select(cells);
});
byId("map-clear").addEventListener("click", () => select([]));
byId("map-naming").addEventListener("submit", (event) => {
  event.preventDefault();
  const label = byId("map-label").value.trim();
  if (!label || !selectedCells) return;
  named.push({ label, cells: shuffled.filter((cell) => selected[cell]).sort() });
  byId("map-label").value = "";
  select([]);
  writeNamed();
});

function nameExamples() {             // as they were named when the report was made
  const [status, call] = ["status", "call"].map((name) =>
    columns.find((one) => one.group === "calls" && one.name === name));
  const code = status?.names ? status.names.indexOf("example") : -1, cells = new Map();
  for (let cell = 0; code >= 0 && cell < count; cell++) {
    if (status.codes[cell] !== code) continue;
    const label = call.names[call.codes[cell]];
    if (!cells.has(label)) cells.set(label, []);
    cells.get(label).push(cell);
  }
  named = [...cells].sort().map(([label, some]) => ({ label, cells: some }));
  if (named.length) writeNamed();
}

function labelOfCells() {             // cell → label, of the cells that have a name
  const result = new Map();
  for (const { label, cells } of named) for (const cell of cells) result.set(cell, label);
  return result;
}

function writeNamed() {
  const list = byId("map-named"), labelled = labelOfCells();
  list.replaceChildren(...named.map((one, i) => {
    const item = made("li", ""), remove = made("button", "Remove", { type: "button" });
    item.append(made("bdi", one.label), ` (${one.cells.length.toLocaleString("en")}) `, remove);
    remove.setAttribute("aria-label", `Remove ${one.label}`);
    remove.addEventListener("click", () => {
      named.splice(i, 1);
      writeNamed();
    });
    return item;
  }));
  byId("map-table").hidden = !named.length;
  showOwn(labelled);
}

function showOwn(labelled) {          // "your names" as one more column to colour by
  const choice = byId("map-column"), at = columns.findIndex((one) => one.name === OWN && one.own);
  const texts = [...new Set(labelled.values())].sort(), codes = new Uint16Array(count).fill(65535);
  for (const [cell, label] of labelled) codes[cell] = texts.indexOf(label);
  const [colours, bright] = header.palette.map((palette) => texts.map((_, i) => palette[i % palette.length]));
  const own = finished({ name: OWN, own: true, group: "calls", names: texts, colours, bright, codes, bytes: 2 });
  if (at < 0) {
    columns.push(own);
    choice.querySelector("optgroup").append(made("option", OWN, { value: columns.length - 1 }));
  } else columns[at] = own;
  if (shown.own) show(own);
}

byId("map-save").addEventListener("click", () => {
  const quoted = (text) => (/["\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = [...labelOfCells()].sort(([a], [b]) => a - b);
  const lines = [["cell", "label"], ...rows.map(([cell, label]) => [names[cell], label])];
  const text = lines.map((line) => line.map(quoted).join("\t") + "\n").join("");
  const link = made("a", "", { download: "named_cells.tsv" });
  link.href = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});

// ---- start

const choice = byId("map-column");
for (const [group, title] of [["calls", "Calls"], ["obs", "Columns of the cells"], ["genes", "Genes"]]) {
  const options = columns.map((column, i) => [column, i]).filter(([column]) => column.group === group);
  if (!options.length) continue;
  const part = made("optgroup", "", { label: title });
  part.append(...options.map(([column, i]) => made("option", column.name, { value: i })));
  choice.append(part);
}
choice.value = header.first;
choice.addEventListener("change", () => show(columns[Number(choice.value)]));
byId("map-types").append(...header.types.map((type) => made("option", "", { value: type })));
root.hidden = false;
document.documentElement.classList.add("has-map");
isDark.addEventListener("change", () => {
  recolour();
  writeLegend();
});
new ResizeObserver(resize).observe(canvas);
show(shown);
nameExamples();
resize();
})();

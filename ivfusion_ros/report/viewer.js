"use strict";
// Shows a shot: thermal | RGB | one more image with two handles between them, boxes, zoom, figures beside.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#ff5252", "#40c4ff", "#ffc107", "#76e65a", "#e06eff", "#ff8a28"];
const CAMERAS = ["thermal", "rgb"];
const state = { first: 33.3, second: 66.6, zoom: 1, x: 0, y: 0, layer: "fused", shot: null, order: ["", 1], at: null };
const classes = [];

function element(kind, attributes, text) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function html(kind, properties, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

function drawParts() {
  const [a, b] = [state.first, state.second];
  // In the view's own coordinates, so that the handles stay where they are while one zooms.
  const at = (edge) => (edge - state.x) / state.zoom;
  const clips = {
    thermal: `inset(0 ${100 - at(a)}% 0 0)`, rgb: `inset(0 ${100 - at(b)}% 0 ${at(a)}%)`, fused: `inset(0 0 0 ${at(b)}%)`,
  };
  for (const [name, clip] of Object.entries(clips)) $(name).style.clipPath = $(`boxes-${name}`).style.clipPath = clip;
  for (const [id, edge] of [["first", a], ["second", b]]) {
    $(id).style.left = `${edge}%`;
    $(id).setAttribute("aria-valuenow", Math.round(edge));
  }
  for (const [name, [left, right]] of Object.entries({ thermal: [0, a], rgb: [a, b], fused: [b, 100] })) {
    const label = $(`name-${name}`);
    label.style.left = `calc(${left}% + .4rem)`;
    label.hidden = right - left < 8;
  }
  $("view").style.transform = `translate(${state.x}%, ${state.y}%) scale(${state.zoom})`;
}

const celsius = (kelvin) => `${(kelvin - 273.15).toFixed(1)} °C`;
const boxesOf = (name) => state.shot.own_boxes?.[name] ?? state.shot.boxes;

// The first place for a label that is on no other one; null where all are taken.
function freeField(taken, bottoms, x, wide, high, [most, lowest]) {
  const left = Math.max(0, Math.min(x, most - wide));
  const free = (bottom) => bottom >= high && bottom + high / 4 <= lowest && taken.every(([x0, y0, x1]) => left >= x1 || left + wide <= x0 || Math.abs(bottom - y0) >= high);
  const bottom = bottoms.find(free);
  if (bottom === undefined) return null;
  taken.push([left, bottom, left + wide]);
  return [left, bottom];
}

function drawBoxes(pane, boxes) {
  const [width, height] = state.shot.size;
  // No smaller than people read, on a narrow screen too.
  const size = Math.max(width / 60, 9, 11 * width / ($("stage").clientWidth || width));
  const taken = [];
  $(pane).setAttribute("viewBox", `0 0 ${width} ${height}`);
  $(pane).replaceChildren(...boxes.flatMap((box) => {
    const [x0, y0, x1, y1] = box.box_xyxy;
    if (!classes.includes(box.class)) classes.push(box.class);
    const colour = box.missed ? "#fff" : COLOURS[classes.indexOf(box.class) % COLOURS.length];
    const track = box.track == null ? "" : ` ${box.track}`;
    const heat = box.max_kelvin && $("with-heat").checked ? ` ${celsius(box.max_kelvin)}` : "";
    const score = box.missed ? " missed" : box.score == null ? "" : ` ${box.score.toFixed(2)}`;
    const shape = { x: x0, y: y0, width: x1 - x0, height: y1 - y0, stroke: colour };
    if (box.missed) shape["stroke-dasharray"] = "5 3";
    const text = `${box.class}${track}${score}${heat}`;
    const field = freeField(taken, [y0 - size / 4, y1 + size, y0 + size], x0, text.length * size * 0.56, size, [width, height]);
    const label = field ? [element("text", { x: field[0], y: field[1], fill: colour, "font-size": size }, text)] : [];
    return [element("rect", shape), ...label];
  }));
  $(pane).style.display = $("with-boxes").checked ? "" : "none";
}

function drawTable(boxes) {
  const heat = $("with-heat").checked;
  const columns = ["class", "score", "track", "max_kelvin"].filter((name) => boxes.some((box) => box[name] != null) && (heat || name !== "max_kelvin"));
  const text = (name, value) => value == null ? "" : name === "max_kelvin" ? celsius(value) : name === "score" ? value.toFixed(2) : value;
  const [by, sign] = state.order;
  const rows = columns.includes(by) ? boxes.toSorted((one, other) => sign * ((one[by] ?? -1) > (other[by] ?? -1) ? 1 : -1)) : boxes;
  const head = html("tr", {}, ...columns.map((name) => {
    const button = html("button", { type: "button" }, name === "max_kelvin" ? "hottest" : name);
    button.onclick = () => { state.order = [name, by === name ? -sign : -1]; drawTable(boxes); };
    const cell = html("th", { scope: "col" }, button);
    if (by === name) cell.ariaSort = sign > 0 ? "ascending" : "descending";
    return cell;
  }));
  const body = rows.map((box) => html("tr", {}, ...columns.map((name) => html("td", {}, String(text(name, box[name]))))));
  $("found").replaceChildren(...(rows.length ? [head, ...body] : []));
}

function drawHistogram(histogram) {
  $("levels").hidden = !histogram;
  if (!histogram) return;
  const most = Math.max(...histogram.counts, 1);
  $("histogram").replaceChildren(...histogram.counts.map((value, bin) =>
    element("rect", { x: bin, width: 1, y: 11 * (1 - value / most), height: 11 * value / most })));
  $("least").textContent = histogram.least;
  $("unit").textContent = histogram.unit;
  $("most").textContent = histogram.most;
}

function drawLayers(names) {
  const others = names.filter((name) => !CAMERAS.includes(name));
  if (!others.includes(state.layer)) state.layer = others[0] ?? names.at(-1);
  $("layer-label").hidden = others.length < 2;
  if ([...$("layer").options].map((option) => option.value).join("\n") !== others.join("\n")) {
    $("layer").replaceChildren(...others.map((name) => html("option", { value: name }, name)));
  }
  $("layer").value = state.layer;
  $("name-fused").textContent = state.layer;
}

function drawShot(shot = state.shot) {
  state.shot = shot;
  const names = Object.keys(shot.images);
  drawLayers(names);
  for (const name of CAMERAS) {
    if (shot.images[name]) $(name).src = shot.images[name];
    else $(name).removeAttribute("src");
  }
  $("fused").src = shot.images[state.layer];
  const both = CAMERAS.every((name) => shot.images[name]);
  $("first").hidden = $("second").hidden = !both;
  if (!both) [state.first, state.second] = names.includes("thermal") ? [100, 100] : names.includes("rgb") ? [0, 100] : [0, 0];
  $("stage").style.setProperty("--aspect", shot.size[0] / shot.size[1]);
  $("title").textContent = shot.title;
  $("facts").textContent = Object.entries(shot.facts).map(([name, text]) => `${name}: ${text}`).join("\n");
  drawHistogram(shot.histogram);
  const shown = { thermal: boxesOf("thermal"), rgb: boxesOf("rgb"), fused: boxesOf(state.layer) };
  $("with-boxes-label").hidden = !Object.values(shown).flat().length;
  $("with-heat-label").hidden = !Object.values(shown).flat().some((box) => box.max_kelvin);
  for (const [name, boxes] of Object.entries(shown)) drawBoxes(`boxes-${name}`, boxes);
  drawTable(shown.fused);
  drawParts();
  if (!shot.live) drawCursor();
}

function move(handle, edge) {
  edge = Math.min(Math.max(edge, 0), 100);
  if (handle === "first") state.first = Math.min(edge, state.second);
  else state.second = Math.max(edge, state.first);
  drawParts();
}

function show(first, second) {
  [state.first, state.second] = [first, second];
  drawParts();
}

function zoom(factor, x = 50, y = 50) {
  const before = state.zoom;
  state.zoom = Math.min(Math.max(before * factor, 1), 8);
  pan(x - (x - state.x) * state.zoom / before, y - (y - state.y) * state.zoom / before);
}

function pan(x, y) {
  const held = (value) => Math.min(0, Math.max(100 * (1 - state.zoom), value));
  [state.x, state.y] = [held(x), held(y)];
  drawParts();
}

function place(event) {
  const frame = $("stage").getBoundingClientRect();
  return [100 * (event.clientX - frame.left) / frame.width, 100 * (event.clientY - frame.top) / frame.height];
}

// Where the cursor is in the image, as shares of its sides; null outside.
const inImage = () => state.at && [(state.at[0] - state.x) / state.zoom / 100, (state.at[1] - state.y) / state.zoom / 100];

function heatAt(heat, [x, y]) {
  heat.bytes ??= Uint8Array.from(atob(heat.values), (letter) => letter.charCodeAt(0));
  const [columns, rows] = heat.size;
  const value = heat.bytes[Math.min(rows - 1, Math.floor(y * rows)) * columns + Math.min(columns - 1, Math.floor(x * columns))];
  return value === 255 ? null : heat.least + (heat.most - heat.least) * value / 254;
}

function drawCursor() {
  const at = inImage();
  const heat = state.shot?.heat;
  const value = at && heat ? heatAt(heat, at) : null;
  drawValue(value === null ? null : `${value.toFixed(1)} ${heat.unit}`);
}

// What was measured under the cursor.
function drawValue(text) {
  $("cursor").hidden = text === null || !state.at;
  if ($("cursor").hidden) return;
  $("cursor").textContent = text;
  $("cursor").style.left = `min(calc(${state.at[0]}% + .8rem), calc(100% - 6rem))`;
  $("cursor").style.top = `min(calc(${state.at[1]}% + .8rem), calc(100% - 2rem))`;
}

function toggle(id) {
  $(id).checked = !$(id).checked;
  drawShot();
}

const KEYS = {
  0: () => show(33.3, 66.6), 1: () => show(100, 100), 2: () => show(0, 100), 3: () => show(0, 0),
  b: () => toggle("with-boxes"), t: () => toggle("with-heat"),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5),
};

// Two fingers zoom, one moves what is zoomed.
function listenToFingers(stage) {
  const fingers = new Map();
  stage.addEventListener("pointerdown", (event) => fingers.set(event.pointerId, place(event)));
  for (const kind of ["pointerup", "pointercancel", "pointerleave"]) {
    stage.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  }
  stage.addEventListener("pointermove", (event) => {
    state.at = place(event);
    const before = fingers.get(event.pointerId);
    if (before && !event.target.classList.contains("handle")) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
        zoom(apart(state.at) / apart(before), (state.at[0] + other[0]) / 2, (state.at[1] + other[1]) / 2);
      } else pan(state.x + state.at[0] - before[0], state.y + state.at[1] - before[1]);
      fingers.set(event.pointerId, state.at);
    }
    if (!state.shot?.live) drawCursor();
  });
  stage.addEventListener("pointerleave", () => { state.at = null; drawCursor(); });
}

function startViewer() {
  for (const name of ["first", "second"]) {
    const handle = $(name);
    handle.onpointerdown = (event) => { handle.setPointerCapture(event.pointerId); event.preventDefault(); handle.focus(); };
    handle.onpointermove = (event) => { if (handle.hasPointerCapture(event.pointerId)) move(name, place(event)[0]); };
    handle.onkeydown = (event) => {
      const by = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (by) { move(name, state[name] + by); event.preventDefault(); event.stopPropagation(); }
    };
  }
  const stage = $("stage");
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...place(event));
  }, { passive: false });
  stage.ondblclick = (event) => zoom(state.zoom > 1 ? 1 / state.zoom : 3, ...place(event));
  listenToFingers(stage);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=range], input[type=search], select")) return;
    const act = KEYS[event.key];
    if (act) { act(); event.preventDefault(); }
  });
  for (const id of ["with-boxes", "with-heat"]) $(id).onchange = () => drawShot();
  $("layer").onchange = () => { state.layer = $("layer").value; drawShot(); };
}

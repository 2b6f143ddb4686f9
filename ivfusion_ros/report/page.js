"use strict";
const { count, shots } = JSON.parse(document.getElementById("shots").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#ff5252", "#40c4ff", "#ffc107", "#76e65a", "#e06eff", "#ff8a28"];
const state = { shot: 0, first: 33.3, second: 66.6, zoom: 1, x: 0, y: 0 };

function element(kind, attributes, text) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawParts() {
  const [a, b] = [state.first, state.second];
  // In the view's own coordinates, so that the handles stay where they are while one zooms.
  const at = (edge) => (edge - state.x) / state.zoom;
  $("thermal").style.clipPath = `inset(0 ${100 - at(a)}% 0 0)`;
  $("rgb").style.clipPath = `inset(0 ${100 - at(b)}% 0 ${at(a)}%)`;
  $("fused").style.clipPath = `inset(0 0 0 ${at(b)}%)`;
  for (const [id, edge] of [["first", a], ["second", b]]) {
    $(id).style.left = `${edge}%`;
    $(id).setAttribute("aria-valuenow", Math.round(edge));
  }
  const spans = { thermal: [0, a], rgb: [a, b], fused: [b, 100] };
  for (const [name, [left, right]] of Object.entries(spans)) {
    const label = $(`name-${name}`);
    label.style.left = `calc(${left}% + .4rem)`;
    label.hidden = right - left < 8;
  }
  $("view").style.transform = `translate(${state.x}%, ${state.y}%) scale(${state.zoom})`;
}

function drawBoxes(shot) {
  const [width, height] = shot.size;
  const classes = [...new Set(shots.flatMap((each) => each.boxes.map((box) => box.class)))];
  $("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  $("boxes").replaceChildren(...shot.boxes.flatMap((box) => {
    const [x0, y0, x1, y1] = box.box_xyxy;
    const colour = COLOURS[classes.indexOf(box.class) % COLOURS.length];
    const track = box.track === undefined || box.track === null ? "" : ` ${box.track}`;
    const heat = box.max_kelvin ? ` ${(box.max_kelvin - 273.15).toFixed(1)} °C` : "";
    const size = Math.max(width / 50, 9);
    return [
      element("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, stroke: colour }),
      element("text", { x: x0, y: Math.max(y0 - size / 4, size), fill: colour, "font-size": size },
        `${box.class}${track} ${box.score.toFixed(2)}${heat}`),
    ];
  }));
  $("boxes").style.display = $("with-boxes").checked ? "" : "none";
}

function drawTable(shot) {
  const columns = ["class", "score", "track", "max_kelvin"].filter((name) => shot.boxes.some((box) => box[name] != null));
  const head = document.createElement("tr");
  head.replaceChildren(...columns.map((name) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name.replace("_", " ");
    cell.onclick = () => {
      const falling = cell.dataset.order !== "falling";
      shot.boxes.sort((one, other) => (one[name] > other[name] ? 1 : -1) * (falling ? -1 : 1));
      draw();
      $("found").querySelectorAll("th")[columns.indexOf(name)].dataset.order = falling ? "falling" : "";
    };
    return cell;
  }));
  const rows = shot.boxes.map((box) => {
    const row = document.createElement("tr");
    row.replaceChildren(...columns.map((name) => {
      const cell = document.createElement("td");
      cell.textContent = typeof box[name] === "number" && name !== "track" ? box[name].toFixed(2) : box[name] ?? "";
      return cell;
    }));
    return row;
  });
  $("found").replaceChildren(...(rows.length ? [head, ...rows] : []));
}

function draw() {
  const shot = shots[state.shot];
  for (const name of ["thermal", "rgb", "fused"]) $(name).src = shot.images[name];
  $("stage").style.aspectRatio = `${shot.size[0]} / ${shot.size[1]}`;
  $("which").value = state.shot;
  $("title").textContent = shot.title;
  $("facts").textContent = Object.entries(shot.facts).map(([name, text]) => `${name}: ${text}`).join(" · ");
  const most = Math.max(...shot.histogram, 1);
  $("histogram").replaceChildren(...shot.histogram.map((value, bin) =>
    element("rect", { x: bin, width: 1, y: 11 * (1 - value / most), height: 11 * value / most })));
  for (const line of document.querySelectorAll(".now")) {
    const x = line.ownerSVGElement.viewBox.baseVal.width * (shot.index + 0.5) / count;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  drawBoxes(shot);
  drawTable(shot);
  drawParts();
}

function step(by) {
  state.shot = Math.min(Math.max(state.shot + by, 0), shots.length - 1);
  draw();
}

function goTo(index) {
  const far = shots.map((shot) => Math.abs(shot.index - index));
  state.shot = far.indexOf(Math.min(...far));
  draw();
}

function move(handle, edge) {
  edge = Math.min(Math.max(edge, 0), 100);
  if (handle === "first") state.first = Math.min(edge, state.second);
  else state.second = Math.max(edge, state.first);
  drawParts();
}

function zoom(factor, x = 50, y = 50) {
  const before = state.zoom;
  state.zoom = Math.min(Math.max(before * factor, 1), 8);
  const kept = state.zoom / before;
  const held = (value) => Math.min(0, Math.max(100 * (1 - state.zoom), value));
  state.x = held(x - (x - state.x) * kept);
  state.y = held(y - (y - state.y) * kept);
  drawParts();
}

function place(event) {
  const frame = $("stage").getBoundingClientRect();
  return [100 * (event.clientX - frame.left) / frame.width, 100 * (event.clientY - frame.top) / frame.height];
}

const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-Infinity), End: () => step(Infinity),
  0: () => show(33.3, 66.6), 1: () => show(100, 100), 2: () => show(0, 100), 3: () => show(0, 0),
  b: () => { $("with-boxes").checked = !$("with-boxes").checked; draw(); },
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5),
};

function show(first, second) {
  [state.first, state.second] = [first, second];
  drawParts();
}

if (shots.length) {
  for (const name of ["first", "second"]) {
    const handle = $(name);
    handle.onpointerdown = (event) => { handle.setPointerCapture(event.pointerId); event.preventDefault(); handle.focus(); };
    handle.onpointermove = (event) => { if (handle.hasPointerCapture(event.pointerId)) move(name, place(event)[0]); };
    handle.onkeydown = (event) => {
      const by = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (by) { move(name, state[name] + by); event.preventDefault(); event.stopPropagation(); }
    };
  }
  $("stage").addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...place(event));
  }, { passive: false });
  $("stage").ondblclick = (event) => zoom(state.zoom > 1 ? 1 / state.zoom : 3, ...place(event));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.id === "which") return;
    const act = KEYS[event.key];
    if (act) { act(); event.preventDefault(); }
  });
  $("before").onclick = () => step(-1);
  $("after").onclick = () => step(1);
  $("which").oninput = () => { state.shot = Number($("which").value); draw(); };
  $("with-boxes").onchange = draw;
  for (const link of document.querySelectorAll("[data-index]")) link.onclick = () => goTo(Number(link.dataset.index));
  for (const chart of document.querySelectorAll(".chart")) {
    chart.onclick = (event) => {
      const frame = chart.getBoundingClientRect();
      goTo(Math.floor(count * (event.clientX - frame.left) / frame.width));
    };
  }
  draw();
}

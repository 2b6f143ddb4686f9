const { count, shots, tables } = JSON.parse(document.getElementById("shots").textContent);
const ROWS = 25;
let current = 0;

function draw() {
  const shot = shots[current];
  $("which").value = current;
  for (const line of document.querySelectorAll(".now")) {
    const x = line.ownerSVGElement.viewBox.baseVal.width * (shot.index + 0.5) / count;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  drawShot(shot);
}

function step(by) {
  current = Math.min(Math.max(current + by, 0), shots.length - 1);
  draw();
}

function goTo(index) {
  const far = shots.map((shot) => Math.abs(shot.index - index));
  current = far.indexOf(Math.min(...far));
  draw();
}

const link = (text, index) => html("a", { href: "#stage", onclick: () => goTo(index) }, text);

// A table whose heads sort it and whose field filters it; a long one shows its first rows.
function drawData(table, place) {
  const order = { column: -1, sign: 1, all: false, words: "" };
  const head = html("tr", {});
  const body = html("tbody", {});
  const more = html("button", { type: "button", className: "more" });
  const search = html("input", { type: "search", placeholder: "filter", ariaLabel: `filter ${table.title}` });
  const known = (cell) => cell !== null && cell !== "";
  const compare = (one, other) => typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
  const rows = table.rows.map((cells, place) => ({ cells, shot: table.shots[place] ?? null, place: table.links[place] ?? null }));
  const bestOf = table.columns.map((name) => {
    const numbers = table.rows.map((cells) => cells[table.columns.indexOf(name)]).filter((cell) => typeof cell === "number");
    return table.best?.[name] && numbers.length > 1 ? Math[table.best[name] === "low" ? "min" : "max"](...numbers) : undefined;
  });
  const arrow = (name) => ({ low: " ↓", high: " ↑" })[table.best?.[name]] ?? "";
  function named(text, { shot, place }) {
    if (shot !== null) return link(text, shot);
    return place === null ? text : html("a", { href: place }, text);
  }
  function cellOf(cell, column, row) {
    const text = cell === null ? "" : typeof cell === "number" && !Number.isInteger(cell) ? String(+cell.toPrecision(4)) : String(cell);
    const made = html("td", {}, column === 0 ? named(text, row) : text);
    if (typeof cell === "number") made.className = cell === bestOf[column] ? "number best" : "number";
    return made;
  }
  function fill() {
    const { column, sign, words } = order;
    const fits = rows.filter(({ cells }) => words.every((word) => cells.some((cell) => String(cell ?? "").toLowerCase().includes(word))));
    if (column >= 0) {
      fits.sort(({ cells: one }, { cells: other }) => known(one[column]) && known(other[column])
        ? sign * compare(one[column], other[column]) : known(other[column]) - known(one[column]));
    }
    const shown = order.all ? fits : fits.slice(0, ROWS);
    body.replaceChildren(...shown.map((row) => html("tr", {}, ...row.cells.map((cell, column) => cellOf(cell, column, row)))));
    more.hidden = shown.length === fits.length;
    more.textContent = `all ${fits.length} rows`;
    [...head.children].forEach((cell, place) => { cell.ariaSort = place === column ? (sign > 0 ? "ascending" : "descending") : "none"; });
  }
  head.append(...table.columns.map((name, column) => {
    const button = html("button", { type: "button" }, name + arrow(name));
    button.onclick = () => {
      const falling = order.column === column ? order.sign > 0 : table.best?.[name] === "high";
      Object.assign(order, { column, sign: falling ? -1 : 1 });
      fill();
    };
    return html("th", { scope: "col" }, button);
  }));
  order.words = [];
  search.oninput = () => { order.words = search.value.toLowerCase().split(/\s+/).filter(Boolean); fill(); };
  more.onclick = () => { order.all = true; fill(); };
  place.append(...(rows.length > 10 ? [search] : []), html("div", { className: "wide" }, html("table", {}, html("thead", {}, head), body)), more);
  fill();
}

tables.forEach((table, number) => drawData(table, $(`table-${number}`)));

if (shots.length) {
  Object.assign(KEYS, {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-Infinity), End: () => step(Infinity),
  });
  startViewer();
  $("before").onclick = () => step(-1);
  $("after").onclick = () => step(1);
  $("which").oninput = () => { current = Number($("which").value); draw(); };
  for (const anchor of document.querySelectorAll("[data-index]")) anchor.onclick = () => goTo(Number(anchor.dataset.index));
  for (const chart of document.querySelectorAll(".timed")) {
    chart.onclick = (event) => {
      const frame = chart.getBoundingClientRect();
      goTo(Math.floor(count * (event.clientX - frame.left) / frame.width));
    };
  }
  draw();
}

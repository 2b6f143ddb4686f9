// The picture that comes has thermal, RGB and fused side by side, each where this page shows it.
const address = new URL(`live${location.search}`, location.href.replace(/^http/, "ws"));
const decoder = new TextDecoder();
let line = null;
let url = "";
let histogram = null;
const times = [];

// In the image's own coordinates, as shares.
function look() {
  const share = (value) => Math.min(Math.max(value, 0), 1);
  const at = (edge) => share((edge - state.x) / state.zoom / 100);
  const cursor = inImage();
  return { first: at(state.first), second: at(state.second), cursor: cursor && cursor.map(share) };
}

function ask() {
  // What nobody sees needs no frames.
  if (document.hidden) document.addEventListener("visibilitychange", ask, { once: true });
  else if (line?.readyState === WebSocket.OPEN) line.send(JSON.stringify(look()));
}

async function take({ data }) {
  if (!data.byteLength) return ask();
  const length = new DataView(data).getUint32(0, true);
  const content = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
  const next = URL.createObjectURL(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
  const image = new Image();
  image.src = next;
  await image.decode();
  histogram = content.histogram ?? histogram;
  times.push(performance.now());
  if (times.length > 20) times.shift();
  const rate = times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : 0;
  for (const [command, done] of [["start", "on"], ["stop", "off"]]) {
    const button = document.querySelector(`[data-command="${command}"]`);
    if (button) button.disabled = content.facts.recording?.startsWith(done) ?? false;
  }
  const facts = { ...content.facts, "this page": `${rate.toFixed(1)} frames/s` };
  drawShot({ title: "", size: content.size, images: { thermal: next, rgb: next, fused: next }, boxes: content.boxes, histogram, facts, live: true });
  drawValue(content.cursor);
  if (url) URL.revokeObjectURL(url);
  url = next;
  $("said").textContent = "live";
  ask();
}

function connect() {
  line = new WebSocket(address);
  line.binaryType = "arraybuffer";
  line.onopen = () => { $("said").textContent = "waiting for a pair"; ask(); };
  line.onmessage = take;
  line.onclose = () => { $("said").textContent = "ended, or out of reach"; setTimeout(connect, 2000); };
}

startViewer();
$("first").hidden = $("second").hidden = false;
drawParts();
for (const button of document.querySelectorAll("[data-command]")) {
  button.onclick = () => line?.readyState === WebSocket.OPEN && line.send(JSON.stringify({ command: button.dataset.command }));
}
connect();

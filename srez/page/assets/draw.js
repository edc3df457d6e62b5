// The grid: what is painted goes to the server after each stroke, and the face that comes back is shown.
const PALETTE = {
  skin: ["#f3d3bd", "#dba888", "#c68863", "#8d5a3c", "#5a3623"],
  hair: ["#17120f", "#4a2c1a", "#8a5a2b", "#d8b06a", "#9a9a9a"],
  eyes: ["#ffffff", "#3b6ea5", "#4f7942", "#3a2416", "#000000"],
  lips: ["#c9756b", "#a8424a"],
  background: ["#808080", "#b9d3e8"],
};
const UNDOS = 100;
const find = (name) => element.querySelector("." + name);
const canvas = find("grid"), pen = canvas.getContext("2d"), face = find("face");
const starts = JSON.parse(props.starts);
const history = { 16: [], 32: [] };
const painted = {};
let side = 16, colour = [198, 136, 99], cursor = [8, 8], last = null, busy = false, waiting = false;

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (two) => parseInt(two, 16));
const hex = (values) => Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");

function show(target, values, size) {
  const cell = target.width / size, context = target.getContext("2d");
  for (let at = 0; at < size * size; at++) {
    context.fillStyle = "#" + hex(values.slice(3 * at, 3 * at + 3));
    context.fillRect((at % size) * cell, Math.floor(at / size) * cell, cell, cell);
  }
}

function redraw() {
  show(canvas, painted[side], side);
  if (document.activeElement === canvas) {
    const cell = canvas.width / side;
    pen.strokeStyle = "#ff00cc";
    pen.lineWidth = 3;
    pen.strokeRect(cursor[0] * cell, cursor[1] * cell, cell, cell);
  }
}

async function follow() {
  if (busy) { waiting = true; return; }
  busy = true;
  do {
    waiting = false;
    const started = performance.now();
    try {
      const url = await server.paint(hex(painted[side]));
      if (url) { face.src = find("save").href = url; await face.decode(); }
      const spent = Math.round(performance.now() - started);
      find("time").textContent = spent + " ms";
      canvas.dataset.milliseconds = spent;
    } catch (error) {
      find("time").textContent = "the server doesn't answer";
    }
  } while (waiting);
  busy = false;
}

function remember() {
  history[side].push(painted[side].slice());
  history[side].splice(0, history[side].length - UNDOS);
}

function undo() {
  if (!history[side].length) return;
  painted[side] = history[side].pop();
  redraw();
  follow();
}

function dab(column, row) {
  const width = Number(find("brush").value), before = Math.floor((width - 1) / 2);
  for (let y = row - before; y < row - before + width; y++)
    for (let x = column - before; x < column - before + width; x++)
      if (x >= 0 && y >= 0 && x < side && y < side) painted[side].set(colour, 3 * (y * side + x));
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top].map((way) =>
    Math.min(Math.max(Math.floor((way / box.width) * side), 0), side - 1));
}

function line([fromX, fromY], [toX, toY]) {
  const steps = Math.max(Math.abs(toX - fromX), Math.abs(toY - fromY), 1);
  for (let step = 0; step <= steps; step++)
    dab(Math.round(fromX + ((toX - fromX) * step) / steps), Math.round(fromY + ((toY - fromY) * step) / steps));
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  remember();
  last = cursor = place(event);
  dab(...last);
  redraw();
  follow();
});
canvas.addEventListener("pointermove", (event) => {
  if (!last) return;
  const now = place(event);
  if (now[0] === last[0] && now[1] === last[1]) return;
  line(last, now);
  last = cursor = now;
  redraw();
  follow();
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });
for (const name of ["focus", "blur"]) canvas.addEventListener(name, redraw);
canvas.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (way) {
    cursor = cursor.map((at, axis) => Math.min(Math.max(at + way[axis], 0), side - 1));
  } else if (event.key === " " || event.key === "Enter") {
    remember();
    dab(...cursor);
    follow();
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
    undo();
  } else {
    return;
  }
  event.preventDefault();
  redraw();
});

function press(button) {
  for (const other of find("palette").children) other.setAttribute("aria-pressed", other === button);
}

for (const [kind, colours] of Object.entries(PALETTE))
  colours.forEach((value, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.style.background = value;
    button.setAttribute("aria-label", kind + " " + (number + 1));
    button.title = kind;
    button.onclick = () => { colour = Array.from(bytes(value.slice(1))); find("any").value = value; press(button); };
    find("palette").append(button);
  });
press(find("palette").children[2]);
find("any").oninput = (event) => { colour = Array.from(bytes(event.target.value.slice(1))); press(null); };
find("undo").onclick = undo;
find("side").onchange = (event) => { side = Number(event.target.value); cursor = [side / 2, side / 2]; redraw(); follow(); };

starts[16].forEach((pixels, number) => {
  const button = document.createElement("button"), small = document.createElement("canvas");
  small.width = small.height = 32;
  show(small, bytes(pixels), 16);
  button.type = "button";
  button.setAttribute("aria-label", "start from face " + (number + 1));
  button.append(small);
  button.onclick = () => { remember(); painted[side] = bytes(starts[side][number]); redraw(); follow(); };
  find("starts").append(button);
});
for (const size of [16, 32]) painted[size] = bytes(starts[size][0]);
redraw();
follow();

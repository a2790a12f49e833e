const $ = (id) => document.getElementById(id);
const models = JSON.parse($("models").textContent), images = JSON.parse($("images").textContent);
const POSITIVE = "#009E73", NEGATIVE = "#D55E00";
// pixels as canvases store them, alpha first
const WHITE = 0xffffffff, BLACK = 0xff000000, INSIDE = 0x80b27200, AROUND = 0xc0000000;
const PATIENCE = 150; // milliseconds of work before a sign of it, so that quick answers do not flicker
const canvas = $("canvas"), brush = canvas.getContext("2d");
let image = null, picture = $("picture"), clicks = [], answer = null; // the answer may be to fewer clicks than there are
let task = null; // the question at the server
let prepared = null; // the image and model that are ready for a first click
let opened = 0; // counts the images that were chosen, so that only the last one is shown
let timer = null, doing = ""; // from the start of the work on; the words of its sign

function showStatus(words) { $("status").textContent = words; }

function isWorking() { return document.body.classList.contains("busy"); }

function startWork(words) {
  doing = words;
  if (isWorking()) showStatus(doing);
  timer ??= setTimeout(() => {
    document.body.classList.add("busy");
    showStatus(doing);
  }, PATIENCE);
}

function endWork(words) {
  clearTimeout(timer);
  timer = null;
  document.body.classList.remove("busy");
  showStatus(words);
}

// The picture is as large as the window allows, small pictures too. The canvas over it has the
// pixels of the screen.
function fit() {
  if (image === null) return;
  const room = document.querySelector("main"), view = $("view");
  const scale = Math.min(room.clientWidth / image.cols, room.clientHeight / image.rows);
  const width = Math.max(1, Math.floor(image.cols * scale));
  const height = Math.max(1, Math.floor(image.rows * scale));
  view.style.width = `${width}px`;
  view.style.height = `${height}px`;
  picture.style.imageRendering = scale >= 4 ? "pixelated" : "auto";
  canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
  paint();
}

// A window moved to another screen, or a zoomed page, can keep its size and change its pixels.
function watchScreen() {
  const change = () => { fit(); watchScreen(); };
  matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", change, { once: true });
}

// the pixel of the picture under each of `length` places across the screen: that which a click hits
function sample(length, pixels) {
  return Int32Array.from({ length }, (_, at) => Math.floor(((at + 0.5) * pixels) / length));
}

// Return what is drawn over the picture, with a white line inside the mask's edge and a dark one
// around it, as wide on the screen for every size of picture.
function shade(mask, width, height) {
  const cols = sample(width, image.cols), rows = sample(height, image.rows);
  const inside = new Uint8Array(width * height), shaded = new ImageData(width, height);
  const drawn = new Uint32Array(shaded.data.buffer), line = Math.max(1, Math.round(1.5 * devicePixelRatio));
  for (let y = 0, at = 0; y < height; y++) {
    const row = rows[y] * image.cols;
    for (let x = 0; x < width; x++, at++) inside[at] = mask[row + cols[x]];
  }
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const own = inside[at];
      const edge = (x >= line && inside[at - line] !== own) ||
        (x < width - line && inside[at + line] !== own) ||
        (y >= line && inside[at - line * width] !== own) ||
        (y < height - line && inside[at + line * width] !== own);
      drawn[at] = own ? (edge ? WHITE : INSIDE) : edge ? AROUND : 0;
    }
  }
  return shaded;
}

function paint() {
  brush.clearRect(0, 0, canvas.width, canvas.height);
  if (image === null) return;
  if (answer !== null) brush.putImageData(shade(answer.mask, canvas.width, canvas.height), 0, 0);
  const size = 7 * devicePixelRatio;
  for (const [row, col, positive] of clicks) {
    const x = ((col + 0.5) * canvas.width) / image.cols, y = ((row + 0.5) * canvas.height) / image.rows;
    brush.beginPath();
    brush.arc(x, y, size, 0, 2 * Math.PI);
    brush.fillStyle = positive ? POSITIVE : NEGATIVE;
    brush.fill();
    brush.lineWidth = size / 3;
    brush.strokeStyle = "#ffffff";
    brush.stroke();
    brush.fillStyle = "#ffffff";
    brush.fillRect(x - size / 2, y - size / 8, size, size / 4);
    if (positive) brush.fillRect(x - size / 8, y - size / 2, size / 4, size);
  }
}

function count(number) { return `${number} click${number > 1 ? "s" : ""}`; }

function nameTarget() { return `${image.id} ${$("model").value}`; }

// whether the clicks of a question or an answer are the first ones of those on the page
function isBegun(asked) {
  return asked.target === nameTarget() && asked.clicks.length <= clicks.length &&
    asked.clicks.every((click, k) => click.every((value, part) => value === clicks[k][part]));
}

function isAnswered() {
  return answer !== null && isBegun(answer) && answer.clicks.length === clicks.length;
}

function buttons() {
  for (const id of ["undo", "reset"]) $(id).disabled = clicks.length === 0;
  for (const id of ["png", "rle"]) $(id).disabled = !isAnswered();
}

function describe() {
  if (clicks.length === 0) return `Click on the object. ${image.name}: ${image.cols} x ${image.rows} pixels`;
  const time = answer.seconds === null ? "cached" : `${answer.seconds.toFixed(2)} s for the last`;
  return `${count(clicks.length)}, ${time}; the mask is ${(100 * answer.share).toFixed(1)} % of ` +
    `${image.cols} x ${image.rows} pixels`;
}

// Ask the server for what is missing. At most one question is there: clicks of the meantime are in
// the next one, and a question whose answer nobody needs any more is given up.
function ask() {
  paint();
  buttons();
  if (task !== null && isBegun(task)) return; // goes on when it is done
  task?.control.abort();
  task = null;
  if (clicks.length === 0 ? prepared === nameTarget() : isAnswered()) {
    endWork(describe());
    return;
  }
  task = { target: nameTarget(), clicks: [...clicks], control: new AbortController() };
  send(task);
}

async function send(own) {
  const preparing = own.clicks.length === 0, model = $("model").value;
  startWork(preparing ? `Preparing ${model} for ${image.name} ...` : `Computing ${count(own.clicks.length)} ...`);
  let failure = null;
  try {
    const response = await fetch(preparing ? "preparations" : "answers", {
      method: "POST",
      body: JSON.stringify({ image: image.id, model, clicks: own.clicks }),
      signal: own.control.signal,
    });
    if (!response.ok) throw new Error(await response.text());
    const found = preparing ? null : await response.json();
    if (task !== own) return;
    if (found) answer = read(found, own);
    prepared = own.target; // an answer prepared it too
  } catch (error) {
    if (task !== own) return;
    failure = error instanceof TypeError ?
      `no answer: ${error.message}. Is isbench demo still running?` : error.message;
  }
  task = null;
  if (failure === null || clicks.length !== own.clicks.length) ask();
  else endWork(failure);
}

function read({ mask: rle, seconds }, { target, clicks }) {
  const mask = decodeRle(rle);
  let area = 0;
  for (let at = 0; at < mask.length; at++) area += mask[at];
  return { target, clicks, rle, mask, seconds, share: area / mask.length };
}

// the pixel of the picture at a place on the screen
function place(event) {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor(((event.clientY - box.top) * image.rows) / box.height);
  const col = Math.floor(((event.clientX - box.left) * image.cols) / box.width);
  return [Math.min(Math.max(row, 0), image.rows - 1), Math.min(Math.max(col, 0), image.cols - 1)];
}

function add(event, positive) {
  event.preventDefault();
  if (image === null) return;
  clicks.push([...place(event), positive ? 1 : 0]);
  ask();
}

async function show(chosen) {
  const number = ++opened, loaded = new Image();
  task?.control.abort();
  task = null;
  startWork(`Loading ${chosen.name} ...`);
  loaded.src = `images/${chosen.id}`;
  try {
    await loaded.decode();
  } catch {
    if (number === opened) endWork(`${chosen.name} cannot be loaded: open it again`);
    return;
  }
  if (number !== opened) return; // another one was chosen
  picture.replaceWith(loaded); // the one that is loaded; its address would load it again
  [image, picture, clicks, answer] = [chosen, loaded, [], null];
  fit();
  ask();
}

async function open(file) {
  startWork(`Opening ${file.name} ...`);
  let response;
  try {
    response = await fetch(`images?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    if (!response.ok) throw new Error(await response.text());
  } catch (error) {
    endWork(`${file.name} cannot be opened: ${error.message}`);
    return;
  }
  const chosen = { ...(await response.json()), name: file.name };
  images.push(chosen);
  $("image").append(new Option(chosen.name, images.length - 1, true, true));
  show(chosen);
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function nameMask() { return `${image.name.replace(/\.[^.]*$/, "") || "image"}-mask`; }

function savePng() {
  const drawn = document.createElement("canvas"), pixels = new ImageData(image.cols, image.rows);
  [drawn.width, drawn.height] = [image.cols, image.rows];
  const drawing = new Uint32Array(pixels.data.buffer);
  answer.mask.forEach((inside, at) => { drawing[at] = inside ? WHITE : BLACK; });
  drawn.getContext("2d").putImageData(pixels, 0, 0);
  drawn.toBlob((blob) => save(`${nameMask()}.png`, blob));
}

function keep(number) {
  if (image === null) return;
  clicks.length = Math.max(0, number);
  if (clicks.length === 0) answer = null;
  ask();
}

const undo = () => keep(clicks.length - 1), reset = () => keep(0);
canvas.addEventListener("click", (event) => add(event, !(event.shiftKey || $("removing").checked)));
canvas.addEventListener("contextmenu", (event) => add(event, false));
$("undo").addEventListener("click", undo);
$("reset").addEventListener("click", reset);
$("png").addEventListener("click", savePng);
$("rle").addEventListener("click", () =>
  save(`${nameMask()}.json`, new Blob([JSON.stringify(answer.rle)], { type: "application/json" })));
$("model").addEventListener("change", () => { if (image !== null) ask(); });
$("image").addEventListener("change", () => show(images[+$("image").value]));
$("file").addEventListener("change", () => { if ($("file").files[0]) open($("file").files[0]); });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey) return;
  if (event.key === "z") undo();
  if (event.key === "r") reset();
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});
for (const name of models) $("model").append(new Option(name, name));
images.forEach((one, k) => $("image").append(new Option(one.name, k)));
$("removing").addEventListener("change", () =>
  document.body.classList.toggle("removing", $("removing").checked));
new ResizeObserver(fit).observe(document.querySelector("main"));
watchScreen();
buttons();
if (images.length) show(images[0]);

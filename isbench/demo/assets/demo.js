const $ = (id) => document.getElementById(id);
const models = JSON.parse($("models").textContent), images = JSON.parse($("images").textContent);
const POSITIVE = "#009E73", NEGATIVE = "#D55E00", MASK = [0, 114, 178];
const canvas = $("canvas"), brush = canvas.getContext("2d", { willReadFrequently: true });
let image = null, picture = null, clicks = [], answer = null, requests = 0;

function showStatus(words) { $("status").textContent = words; }

function setBusy(busy) { document.body.classList.toggle("busy", busy); }

// the picture as large as the window allows, small pictures too
function fit() {
  if (picture === null) return;
  const room = document.querySelector("main");
  const scale = Math.min(room.clientWidth / canvas.width, room.clientHeight / canvas.height);
  canvas.style.width = `${Math.max(1, Math.floor(canvas.width * scale))}px`;
  canvas.style.height = `${Math.max(1, Math.floor(canvas.height * scale))}px`;
}

function paint() {
  if (picture === null) return;
  brush.drawImage(picture, 0, 0);
  if (answer !== null) {
    const pixels = brush.getImageData(0, 0, canvas.width, canvas.height);
    answer.mask.forEach((inside, at) => {
      if (!inside) return;
      const col = at % canvas.width;
      const edge = col === 0 || col === canvas.width - 1 || !answer.mask[at - 1] ||
        !answer.mask[at + 1] || !answer.mask[at - canvas.width] || !answer.mask[at + canvas.width];
      for (let k = 0; k < 3; k++) {
        const old = pixels.data[4 * at + k];
        pixels.data[4 * at + k] = edge ? 255 : 0.5 * old + 0.5 * MASK[k];
      }
    });
    brush.putImageData(pixels, 0, 0);
  }
  const size = Math.max(canvas.width, canvas.height) / 120;
  for (const [row, col, positive] of clicks) {
    brush.beginPath();
    brush.arc(col + 0.5, row + 0.5, size, 0, 2 * Math.PI);
    brush.fillStyle = positive ? POSITIVE : NEGATIVE;
    brush.fill();
    brush.lineWidth = size / 3;
    brush.strokeStyle = "#ffffff";
    brush.stroke();
    brush.fillStyle = "#ffffff";
    brush.fillRect(col + 0.5 - size / 2, row + 0.5 - size / 8, size, size / 4);
    if (positive) brush.fillRect(col + 0.5 - size / 8, row + 0.5 - size / 2, size / 4, size);
  }
}

function buttons() {
  for (const id of ["undo", "reset"]) $(id).disabled = clicks.length === 0;
  for (const id of ["png", "rle"]) $(id).disabled = answer === null;
}

async function ask() {
  const number = ++requests;
  paint();
  if (clicks.length === 0) {
    answer = null;
    setBusy(false);
    showStatus(`Click on the object. ${image.name}: ${image.cols} x ${image.rows} pixels`);
    paint();
    buttons();
    return;
  }
  setBusy(true);
  showStatus(`working on ${clicks.length} click${clicks.length > 1 ? "s" : ""} ...`);
  try {
    const response = await fetch("answers", {
      method: "POST",
      body: JSON.stringify({ image: image.id, model: $("model").value, clicks }),
    });
    if (number !== requests) return; // a later request is pending
    if (!response.ok) {
      showStatus(await response.text());
      return;
    }
    const { mask, seconds } = await response.json();
    answer = { rle: mask, mask: decodeRle(mask) };
    const share = answer.mask.reduce((sum, inside) => sum + inside, 0) / answer.mask.length;
    const time = seconds === null ? "cached" : `${seconds.toFixed(2)} s for the last`;
    showStatus(`${clicks.length} click${clicks.length > 1 ? "s" : ""}, ${time}; the mask is ` +
      `${(100 * share).toFixed(1)} % of ${image.cols} x ${image.rows} pixels`);
  } catch (error) {
    showStatus(`no answer: ${error.message}. Is isbench demo still running?`);
  } finally {
    if (number === requests) setBusy(false);
  }
  paint();
  buttons();
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor(((event.clientY - box.top) * canvas.height) / box.height);
  const col = Math.floor(((event.clientX - box.left) * canvas.width) / box.width);
  return [Math.min(Math.max(row, 0), canvas.height - 1), Math.min(Math.max(col, 0), canvas.width - 1)];
}

function add(event, positive) {
  event.preventDefault();
  if (picture === null) return;
  clicks.push([...place(event), positive ? 1 : 0]);
  ask();
}

function show(chosen) {
  const loaded = new Image();
  setBusy(true);
  showStatus(`loading ${chosen.name} ...`);
  loaded.onerror = () => {
    setBusy(false);
    showStatus(`${chosen.name} cannot be loaded: open it again`);
  };
  loaded.onload = () => {
    [image, picture, clicks, answer] = [chosen, loaded, [], null];
    canvas.width = chosen.cols;
    canvas.height = chosen.rows;
    fit();
    ask();
  };
  loaded.src = `images/${chosen.id}`;
}

async function open(file) {
  showStatus(`opening ${file.name} ...`);
  setBusy(true);
  let response;
  try {
    response = await fetch(`images?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    if (!response.ok) throw new Error(await response.text());
  } catch (error) {
    showStatus(`${file.name} cannot be opened: ${error.message}`);
    return;
  } finally {
    setBusy(false);
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
  const drawn = document.createElement("canvas");
  [drawn.width, drawn.height] = [canvas.width, canvas.height];
  const pixels = new ImageData(canvas.width, canvas.height);
  answer.mask.forEach((inside, at) => pixels.data.set([255 * inside, 255 * inside, 255 * inside, 255], 4 * at));
  drawn.getContext("2d").putImageData(pixels, 0, 0);
  drawn.toBlob((blob) => save(`${nameMask()}.png`, blob));
}

canvas.addEventListener("click", (event) => add(event, !(event.shiftKey || $("removing").checked)));
canvas.addEventListener("contextmenu", (event) => add(event, false));
const undo = () => { clicks.pop(); ask(); };
const reset = () => { clicks = []; ask(); };
$("undo").addEventListener("click", undo);
$("reset").addEventListener("click", reset);
$("png").addEventListener("click", savePng);
$("rle").addEventListener("click", () =>
  save(`${nameMask()}.json`, new Blob([JSON.stringify(answer.rle)], { type: "application/json" })));
$("model").addEventListener("change", ask);
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
buttons();
if (images.length) show(images[0]);

const data = JSON.parse(document.getElementById("data").textContent);
// The palette of Okabe and Ito, which colour-blind readers can distinguish
const COLOURS = [
  "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#7A7A7A",
];
const GREY = "#a8b0b8";
const POSITIVE = "#009E73", NEGATIVE = "#D55E00", PAGE = 25;

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function svgElement(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const text = (x, y, words, anchor = "middle") =>
  svgElement("text", { x, y, "text-anchor": anchor }, String(words));


const LEFT = 46, RIGHT = 18, TOP = 18, BOTTOM = 40;

function frame(xs, ys, xTitle, yTitle, { WIDTH = 460, HEIGHT = 300, steps = 10, never = false, shift = 0 } = {}) {
  const x = (v) => LEFT + ((v - xs[0]) / (xs[1] - xs[0] || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (v) => HEIGHT - BOTTOM - ((v - ys[0]) / (ys[1] - ys[0] || 1)) * (HEIGHT - TOP - BOTTOM);
  const picture = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  picture.style.width = "100%";
  for (let k = 0; k <= 5; k++) {
    const at = ys[0] + ((ys[1] - ys[0]) * k) / 5;
    picture.append(
      svgElement("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at) }),
      text(LEFT - 6, y(at) + 4, +at.toFixed(2), "end"),
    );
  }
  const step = Math.max(1, Math.ceil((xs[1] - xs[0]) / steps));
  for (let at = xs[0]; at <= xs[1] - (never ? 2 : 0); at += step) picture.append(text(x(at + shift), HEIGHT - BOTTOM + 16, at));
  picture.append(
    svgElement("line", {
      class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM,
    }),
    text((LEFT + WIDTH) / 2, HEIGHT - 6, xTitle),
    text(LEFT, TOP - 6, yTitle, "start"),
  );
  if (never) picture.append(text(x(xs[1] - 1 + shift), HEIGHT - BOTTOM + 16, "never"));
  return { picture, x, y };
}

function legend(labels) {
  const line = element("figcaption");
  labels.forEach((label, k) => {
    const mark = element("span", { style: `color:${COLOURS[k % COLOURS.length]}` }, "■ ");
    line.append(mark, `${label}   `);
  });
  return line;
}

function titled(title, picture, labels, note = "") {
  picture.append(svgElement("title", {}, title));
  const parts = note ? [element("figcaption", {}, note)] : [];
  return element("figure", {}, element("h3", {}, title), picture, legend(labels), ...parts);
}

function drawLine({ picture, x, y }, line, colour, width = 2) {
  const places = (values) => values.flatMap((v, n) => (v === null ? [] : [`${x(n + 1)},${y(v)}`]));
  const band = [...places(line.high), ...places(line.low).reverse()].join(" ");
  picture.append(
    svgElement("polygon", { points: band, fill: colour, opacity: width > 1 ? 0.18 : 0 }),
    svgElement("polyline", {
      points: places(line.mean).join(" "), fill: "none", stroke: colour, "stroke-width": width,
      "stroke-dasharray": line.dashed && width > 1 ? "6 4" : "none",
    }),
  );
}

function curves(chart) {
  const clicks = Math.max(2, ...chart.lines.map((line) => line.mean.length));
  const note = chart.lines.some((line) => line.dashed) ? chart.note : "";
  if (chart.lines.length > COLOURS.length) return smallMultiples(chart, clicks, note);
  const whole = frame([1, clicks], [0, 1], "clicks", "");
  chart.lines.forEach((line, k) => drawLine(whole, line, COLOURS[k]));
  return titled(chart.title, whole.picture, chart.lines.map((line) => line.label), note);
}

// More curves than colours: each in a picture of its own, the others in grey behind it
function smallMultiples(chart, clicks, note) {
  const parts = chart.lines.map((line) => {
    const part = frame([1, clicks], [0, 1], "clicks", "", { WIDTH: 280, HEIGHT: 190, steps: 5 });
    chart.lines.forEach((other) => drawLine(part, other, GREY, 0.7));
    drawLine(part, line, COLOURS[0]);
    part.picture.append(svgElement("title", {}, line.label));
    return element("figure", {}, element("figcaption", { class: "name" }, line.label), part.picture);
  });
  return element(
    "figure", { class: "many" }, element("h3", {}, chart.title),
    element("div", { class: "parts" }, ...parts), element("figcaption", {}, `Grey: the other runs. ${note}`),
  );
}

function bars(chart) {
  const count = Math.max(...chart.lines.map((line) => line.counts.length));
  // rounded up to a multiple of the five grid steps
  const heights = chart.lines.flatMap((line) => [...line.counts, line.never]);
  const most = 5 * Math.ceil(Math.max(1, ...heights) / 5);
  const share = 1 / (chart.lines.length + 0.5); // a bar's width, with half a bar between clicks
  const shift = (share * chart.lines.length) / 2; // to the middle of a click's bars
  const { picture, x, y } = frame([1, count + 3], [0, most], "clicks", "objects", { never: true, shift });
  const width = (x(2) - x(1)) * share;
  chart.lines.forEach((line, k) => {
    const places = [...line.counts.map((v, n) => [n + 1, v]), [count + 2, line.never]];
    places.forEach(([at, v]) =>
      picture.append(
        svgElement("rect", {
          x: x(at) + k * width, width, y: y(v), height: y(0) - y(v), fill: COLOURS[k % COLOURS.length],
        }),
      ),
    );
  });
  return titled(chart.title, picture, chart.lines.map((line) => line.label));
}

function scatter(chart) {
  const { picture, x, y } = frame([0, chart.most], [0, chart.most], chart.x, chart.y);
  picture.append(
    svgElement("line", { class: "axis", x1: x(0), y1: y(0), x2: x(chart.most), y2: y(chart.most),
      "stroke-dasharray": "4 4" }),
  );
  for (const [a, b, count] of chart.points) {
    const dot = svgElement("circle", {
      cx: x(a), cy: y(b), r: Math.min(14, 2 + 1.5 * Math.sqrt(count)), fill: COLOURS[0], opacity: 0.6,
    });
    dot.append(svgElement("title", {}, `${count} objects: ${a} and ${b} clicks`));
    picture.append(dot);
  }
  picture.append(svgElement("title", {}, chart.title));
  const caption = element("figcaption", {}, chart.note);
  return element("figure", {}, element("h3", {}, chart.title), picture, caption);
}

const DRAW = { curves, bars, scatter };
for (const chart of data.charts) document.getElementById("charts").append(DRAW[chart.kind](chart));


const MANY = 3; // runs with both figures in the list; with more, one figure of each
const state = { set: 0, figure: "noc", sort: data.sort, down: true, words: "", size: "", page: 0 };
const SIZES = {
  "": [0, 2], "under 1 % of the image": [0, 0.01], "1 to 10 %": [0.01, 0.1], "over 10 %": [0.1, 2],
};
let chosen = null;

// a column has a group, the run, and a name; `key` tells it from all others
function columns(set) {
  const found = [{ key: "object", name: "object", of: (o) => o.key }];
  if (set.objects.some((o) => o.size !== null)) {
    found.push({ key: "size", name: "size", of: (o) => o.size, shown: (v) => `${(100 * v).toFixed(1)} %` });
  }
  const many = set.runs.length > MANY;
  const shown = (v) => v.toFixed(2);
  const overall = [{ key: WORST, name: WORST, of: (o) => mean(o.noc), figure: true, shown }];
  if (set.runs.length > 1) {
    overall.push({ key: "disagreement", name: "disagreement", of: disagreement, figure: true, shown });
  }
  if (many) found.push(...overall); // the columns of many runs may need scrolling
  set.runs.forEach((k, n) => {
    const group = data.runs[k].label;
    if (!many || state.figure === "noc") {
      found.push({ key: `noc ${n}`, group, name: data.metric, of: (o) => o.noc[n], figure: true });
    }
    if (!many || state.figure === "iou") {
      found.push({
        key: `iou ${n}`, group, name: "last IoU", of: (o) => o.iou[n], figure: true,
        shown: (v) => v.toFixed(many ? 2 : 4),
      });
    }
  });
  return many ? found : [...found, ...overall];
}

const mean = (values) => values.reduce((a, b) => a + (b ?? 0), 0) / values.length;
const WORST = `mean ${data.metric}`;
const disagreement = (o) => Math.max(...o.noc) - Math.min(...o.noc);

function listed() {
  const set = data.sets[state.set], head = columns(set);
  const by = head.find((column) => column.key === state.sort) ?? head.find((column) => column.key === WORST);
  const [least, most] = SIZES[state.size];
  const found = set.objects.filter(
    (o) => o.key.toLowerCase().includes(state.words) &&
      (state.size === "" || (o.size !== null && o.size >= least && o.size < most)) &&
      (!state.pictured || o.picture !== null),
  );
  const order = (a, b) => (a > b || b === null) - (a < b || a === null);
  found.sort((a, b) =>
    (state.down ? -1 : 1) * order(by.of(a), by.of(b)) || order(mean(a.iou), mean(b.iou)) ||
    order(a.key, b.key));
  return { set, head, found, by };
}

// One line of heads, below the names of the runs; many runs have one column each, its name upright
function listHead(set, head) {
  const many = set.runs.length > MANY;
  const { by } = listed();
  const button = (column, words) => {
    const now = column === by || column.key === by.key;
    const press = () => {
      state.down = now ? !state.down : column.key !== "object";
      state.sort = column.key;
      show();
      document.querySelector(`#list th[aria-sort] button`)?.focus();
    };
    const arrow = now ? (state.down ? " ▼" : " ▲") : "";
    return element("th", {
      class: column.figure ? "figure" : null, scope: "col", title: (many && column.group) || null,
      "aria-sort": now ? (state.down ? "descending" : "ascending") : null,
    }, element("button", { type: "button", onclick: press, class: many && column.group ? "upright" : null },
      words + arrow));
  };
  const line = element("tr", {}, ...head.map((column) => button(column, many ? column.group ?? column.name : column.name)));
  if (many || !head.some((column) => column.group)) return [line];
  const groups = [];
  for (const column of head) {
    if (groups.length && column.group && groups.at(-1).group === column.group) groups.at(-1).count += 1;
    else groups.push({ group: column.group, count: 1 });
  }
  const cells = groups.map(({ group, count }) =>
    element("th", { colspan: count, class: group ? "group" : null, scope: group ? "colgroup" : null }, group ?? ""));
  return [element("tr", {}, ...cells), line];
}

function show() {
  const { set, head, found } = listed();
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  document.querySelector("#list thead").replaceChildren(...listHead(set, head));
  const rows = found.slice(state.page * PAGE, (state.page + 1) * PAGE).map((o) => {
    const cells = head.map((column) => {
      const value = column.of(o);
      const words = value === null ? "" : column.shown ? column.shown(value) : String(value);
      return element("td", { class: column.figure ? "figure" : null }, words);
    });
    const open = () => { openObject(o); document.getElementById("object").scrollIntoView(); };
    const row = element("tr", {
      tabindex: o.picture === null ? null : 0, class: o.picture === null ? null : "has",
      onclick: o.picture === null ? () => {} : open,
      onkeydown: (event) => { if (event.key === "Enter" && o.picture !== null) open(); },
    }, ...cells);
    if (o === chosen) row.classList.add("now");
    return row;
  });
  if (!rows.length) {
    const words = "No object matches: change the name, the size or the other filters above.";
    rows.push(element("tr", {}, element("td", { colspan: head.length, class: "none" }, words)));
  }
  document.querySelector("#list tbody").replaceChildren(...rows);
  showRank();
  const pictured = set.objects.filter((o) => o.picture !== null).length;
  document.getElementById("count").textContent =
    `${found.length} of ${set.objects.length} object${set.objects.length === 1 ? "" : "s"}; ` +
    `${pictured} ${pictured === 1 ? "has a picture" : "have pictures"}` +
    `${pictured ? ": click a row or press Enter on it" : ""}. ${data.note}`;
  const go = (by) => () => { state.page += by; show(); };
  document.getElementById("pages").replaceChildren(
    element("button", { type: "button", onclick: go(-1), disabled: state.page === 0 }, "previous"),
    element("button", { type: "button", onclick: go(1), disabled: state.page === pages - 1 }, "next"),
    `page ${state.page + 1} of ${pages}`,
  );
}

// How the selected object ranks in the list as it is sorted and filtered
function showRank() {
  const place = document.getElementById("object-rank");
  if (chosen === null) return;
  const { found, by } = listed();
  const at = found.indexOf(chosen);
  const value = by.of(chosen);
  const words = value === null ? "none" : by.shown ? by.shown(value) : String(value);
  const name = by.group ? `${by.name} of ${by.group}` : by.name;
  const order = by.key === "object" ? "by name" : `by ${name} (${words}), ${state.down ? "highest" : "lowest"} first`;
  place.textContent = at < 0
    ? "Not in the list, which the filters shorten."
    : `Number ${at + 1} of ${found.length} ${order}.`;
}

function controls() {
  const change = (key, read) => (event) => { state[key] = read(event.target); state.page = 0; show(); };
  const sets = data.sets.map((set, k) => element("option", { value: k }, set.name));
  const sizes = Object.keys(SIZES).map((name) => element("option", { value: name }, name || "any"));
  const place = document.getElementById("controls");
  if (data.sets.length > 1) {
    const pick = change("set", (t) => +t.value);
    place.append(element("label", {}, "Data set ", element("select", { onchange: pick }, ...sets)));
  }
  const type = change("words", (t) => t.value.toLowerCase());
  place.append(
    element("label", {}, "Name contains ", element("input", { id: "words", type: "search", oninput: type })));
  if (data.sets.some((set) => set.objects.some((o) => o.size !== null))) {
    const pick = change("size", (t) => t.value);
    place.append(element("label", {}, "Size ", element("select", { onchange: pick }, ...sizes)));
  }
  if (data.sets.some((set) => set.runs.length > MANY)) {
    const options = [["noc", data.metric], ["iou", "last IoU"]].map(([value, words]) =>
      element("option", { value }, words));
    const pick = change("figure", (t) => t.value);
    place.append(element("label", {}, "Figure ", element("select", { id: "figure", onchange: pick }, ...options)));
  }
  const tick = change("pictured", (t) => t.checked);
  place.append(
    element("label", {}, element("input", { type: "checkbox", onchange: tick }), " with pictures only"));
}


function openObject(object) {
  chosen = object;
  show();
  const picture = data.pictures[object.picture];
  const most = Math.max(...picture.games.map((game) => (game ? game.masks.length : 0)));
  const slider = document.getElementById("slider");
  slider.max = most;
  slider.value = most;
  document.getElementById("object").hidden = false;
  document.getElementById("object-title").textContent = object.key;
  const image = new Image();
  image.onload = () => paint(object, picture, image);
  image.src = picture.image;
  for (const id of ["slider", "show-truth", "show-mask"]) {
    document.getElementById(id).oninput = () => paint(object, picture, image);
  }
}

function paint(object, picture, image) {
  const click = +document.getElementById("slider").value;
  document.getElementById("slider-value").textContent = ` ${click} `;
  const set = data.sets[state.set];
  const sides = picture.games.map((game, n) => {
    const name = data.runs[set.runs[n]].label;
    if (!game) {
      const caption = element("figcaption", {}, "masks missing: see above");
      return element("figure", {}, element("h3", {}, name), caption);
    }
    const count = Math.min(click, game.masks.length);
    const canvas = element("canvas", {
      width: picture.cols, height: picture.rows, role: "img",
      "aria-label": `mask of ${name} after ${count} clicks`,
    });
    fill(canvas.getContext("2d", { willReadFrequently: true }), picture, image, game, count);
    const ended = count < click ? ", where the game ended" : "";
    const exact = game.exact ? "" : "; recomputed, differs from the record";
    const words = `after ${count} click${count > 1 ? "s" : ""}${ended}: IoU ` +
      `${format(game.iou[count - 1])}, boundary IoU ${format(game.boundary[count - 1])}${exact}`;
    return element("figure", {}, element("h3", {}, name), canvas, element("figcaption", {}, words));
  });
  document.getElementById("sides").replaceChildren(...sides);
}

const format = (value) => (value === null ? "none" : value.toFixed(4));

// Outline a mask in a colour, with black around it: it is seen on any background
function outline(pixels, mask, colour) {
  const { width: cols, height: rows } = pixels;
  const differs = (at) => {
    const col = at % cols, row = Math.floor(at / cols), own = mask[at];
    return (col > 0 && mask[at - 1] !== own) || (col < cols - 1 && mask[at + 1] !== own) ||
      (row > 0 && mask[at - cols] !== own) || (row < rows - 1 && mask[at + cols] !== own);
  };
  for (let at = 0; at < mask.length; at++) {
    if (differs(at)) pixels.data.set(mask[at] ? colour : [0, 0, 0], 4 * at);
  }
}

function fill(brush, picture, image, game, count) {
  const { rows, cols } = picture;
  brush.drawImage(image, 0, 0, cols, rows);
  const pixels = brush.getImageData(0, 0, cols, rows);
  const mask = decodeRle({ size: [rows, cols], counts: game.masks[count - 1] });
  const truth = decodeRle({ size: [rows, cols], counts: picture.truth });
  const masked = document.getElementById("show-mask").checked;
  const outlined = document.getElementById("show-truth").checked;
  if (masked) {
    for (let at = 0; at < mask.length; at++) {
      if (!mask[at]) continue;
      [0, 114, 178].forEach((value, k) => {
        pixels.data[4 * at + k] = 0.45 * pixels.data[4 * at + k] + 0.55 * value;
      });
    }
    outline(pixels, mask, [86, 180, 233]);
  }
  if (outlined) outline(pixels, truth, [255, 255, 255]);
  brush.putImageData(pixels, 0, 0);
  game.clicks.slice(0, count).forEach(([row, col, positive], n) => {
    const last = n === count - 1;
    brush.beginPath();
    brush.arc(col, row, last ? 7 : 5, 0, 2 * Math.PI);
    brush.fillStyle = positive ? POSITIVE : NEGATIVE;
    brush.fill();
    brush.lineWidth = last ? 3 : 1.5;
    brush.strokeStyle = "#ffffff";
    brush.stroke();
    brush.fillStyle = "#ffffff";
    brush.fillRect(col - 3, row - 0.75, 6, 1.5);
    if (positive) brush.fillRect(col - 0.75, row - 3, 1.5, 6);
  });
}

controls();
show();
const first = data.sets.length ? listed().found.find((o) => o.picture !== null) : undefined;
if (first) openObject(first);

"use strict";

// Decode COCO run lengths: groups of five bits, differences from the fourth on, column by column
function decodeRle({ size: [rows, cols], counts }) {
  const mask = new Uint8Array(rows * cols), runs = [];
  let at = 0, inside = 0, value = 0, shift = 0;
  for (const letter of counts) {
    const group = letter.charCodeAt(0) - 48;
    value |= (group & 31) << shift;
    shift += 5;
    if (group & 32) continue;
    if (group & 16) value -= 2 ** shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
    for (let end = at + value; at < end; at++) {
      if (inside) mask[(at % rows) * cols + Math.floor(at / rows)] = 1;
    }
    inside = 1 - inside;
    value = shift = 0;
  }
  return mask;
}

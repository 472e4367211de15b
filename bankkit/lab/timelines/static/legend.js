/* The legend above the lanes, with only the signs that are used. */

import { element } from "../../drawing/static/dom.js";
import { heightOfSign } from "./layout.js";
import { KINDS } from "./scene.js";
import { cross, dot, faultMark, line } from "./shapes.js";

const HEIGHT = 18, MIDDLE = 9; // pixels

export function drawLegend(parent, { scene, theme }) {
  parent.replaceChildren();
  for (const { words, width, draw } of signs(scene, theme)) {
    const box = element("span", "", parent);
    const canvas = element("canvas", "", box, { width: width * 2, height: HEIGHT * 2 });
    canvas.style.width = `${width}px`;
    canvas.style.height = `${HEIGHT}px`;
    canvas.setAttribute("aria-hidden", "true");
    box.append(words);
    const brush = canvas.getContext("2d");
    brush.scale(2, 2);
    brush.strokeStyle = brush.fillStyle = theme.ink;
    draw(brush);
  }
}

/* Each sign: its words, its width in pixels, and how to draw it. */
export function signs(scene, theme) {
  const { lost, expected, ink } = theme.colours;
  const found = [];
  const add = (words, width, draw) => found.push({ words, width, draw });
  const kinds = new Set(scene.kind);
  KINDS.forEach((words, kind) => {
    if (kinds.has(kind)) add(words, 30, (brush) => drawBar(brush, theme, kind));
  });
  if (scene.momentAt.length) add("balance read", 12, (brush) => drawDot(brush, "white"));
  if (scene.moments.isCommit.includes(1)) add("balance written", 12, (brush) => drawDot(brush, ink));
  if (scene.wakeUps.length) add("lets in", 30, (brush) => drawArrow(brush, theme.wake));
  if (scene.losses.length) {
    add("lost", 18, (brush) => cross(brush, 9, MIDDLE, 5, lost));
    add("from a stale read", 30, (brush) => drawArrow(brush, lost));
    add("expected", 30, (brush) => drawDashes(brush, expected));
  }
  const told = new Map(scene.marks.map(({ kind, words }) => [kind, words]));
  for (const [kind, words] of told) {
    add(words, 18, (brush) => faultMark(brush, theme, kind, 9, MIDDLE, 5));
  }
  return found;
}

function drawBar(brush, theme, kind) {
  const height = heightOfSign(kind), y = MIDDLE - height / 2;
  for (const layer of theme.looks()[kind]) {
    brush.fillStyle = layer;
    brush.fillRect(1, y, 28, height);
  }
  brush.lineWidth = 0.7;
  brush.strokeRect(1, y, 28, height);
}

function drawDot(brush, colour) {
  brush.fillStyle = colour;
  dot(brush, 6, MIDDLE, 4);
  brush.fill();
  brush.stroke();
}

function drawArrow(brush, colour) {
  brush.strokeStyle = brush.fillStyle = colour;
  brush.lineWidth = 2;
  line(brush, 1, MIDDLE, 22, MIDDLE);
  brush.beginPath();
  brush.moveTo(29, MIDDLE);
  brush.lineTo(20, MIDDLE - 4);
  brush.lineTo(20, MIDDLE + 4);
  brush.fill();
}

function drawDashes(brush, colour) {
  brush.strokeStyle = colour;
  brush.lineWidth = 2;
  brush.setLineDash([5, 4]);
  line(brush, 1, MIDDLE, 29, MIDDLE);
}

/* The balance below the lanes: the actual one, the expected one, and the gap between them. */

import { after } from "./numbers.js";

export function drawBalance(brush, view) {
  const { scene, theme } = view;
  if (!scene.stepAt.length) return;
  const { actual, expected } = scene.steps;
  if (scene.isLossy) {
    fillGap(brush, view);
    brush.globalAlpha = 1;
    brush.strokeStyle = theme.colours.expected;
    brush.lineWidth = 2;
    brush.setLineDash([6, 4]);
    brush.stroke(stepLine(view, expected));
    brush.setLineDash([]);
  }
  brush.globalAlpha = 1;
  brush.strokeStyle = theme.ink;
  brush.lineWidth = 2;
  brush.stroke(stepLine(view, actual));
}

/* The steps in view: the first, which began before the view, and the one after the last. */
function stepsInView({ scene, scale }) {
  return [Math.max(after(scene.stepAt, scale.from) - 1, 0), after(scene.stepAt, scale.to)];
}

/* Draws a line with a corner at each step; steps that share a pixel share a corner. */
function stepLine(view, values) {
  const { scene, scale, layout } = view;
  const [first, last] = stepsInView(view);
  const path = new Path2D();
  let y = layout.money(values[first]), seen = -1;
  path.moveTo(scale.x(Math.max(scene.stepAt[first], scale.from)), y);
  for (let i = first + 1; i < last; i++) {
    const x = scale.x(scene.stepAt[i]);
    if (x - seen < 0.5 && i < last - 1) continue;
    path.lineTo(x, y);
    y = layout.money(values[i]);
    path.lineTo(x, y);
    seen = x;
  }
  path.lineTo(scale.x(Math.min(scene.length, scale.to)), y);
  return path;
}

function fillGap(brush, view) {
  const { scene, scale, layout, theme } = view;
  const { actual, expected } = scene.steps;
  const [first, last] = stepsInView(view);
  brush.fillStyle = theme.colours.lost;
  brush.globalAlpha = 0.25;
  for (let i = first; i < last; i++) {
    if (actual[i] === expected[i]) continue;
    const from = scale.x(scene.stepAt[i]);
    const to = scale.x(i + 1 < scene.stepAt.length ? scene.stepAt[i + 1] : scene.length);
    const low = layout.money(actual[i]);
    brush.fillRect(from, low, to - from, layout.money(expected[i]) - low);
  }
}

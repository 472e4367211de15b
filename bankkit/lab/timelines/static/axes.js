/* The surroundings of the bars: lanes with their names, the time axis, the axis of the balance. */

import { clamp } from "./numbers.js";
import { dollars } from "./words.js";

/* Draws a background for every other lane, and the name of each lane to its left. */
export function drawLanes(brush, { scene, scale, layout, theme }) {
  brush.fillStyle = theme.ink;
  brush.globalAlpha = 0.06;
  for (let lane = 0; lane < scene.tops.length - 1; lane += 2) {
    const top = scene.tops[lane] * layout.row, bottom = scene.tops[lane + 1] * layout.row;
    brush.fillRect(scale.left, top, scale.width - scale.left, bottom - top);
  }
  brush.globalAlpha = 1;
  brush.font = theme.font(Math.min(12, layout.row - 1));
  brush.textAlign = "right";
  brush.textBaseline = "middle";
  layout.labels().forEach(({ name, place }, lane) => {
    const middle = ((scene.tops[lane] + scene.tops[lane + 1]) / 2) * layout.row;
    brush.fillText(name, scale.left - 6, middle - (place ? 7 : 0), scale.left - 8);
    if (place) brush.fillText(place, scale.left - 6, middle + 8, scale.left - 8);
  });
}

export function drawAxes(brush, { scene, scale, layout, theme }) {
  const { base } = layout;
  brush.globalAlpha = 0.9;
  brush.strokeStyle = brush.fillStyle = theme.ink;
  brush.lineWidth = 1;
  brush.font = theme.font(12);
  brush.beginPath();
  brush.moveTo(scale.left, base);
  brush.lineTo(scale.left + scale.room, base);
  brush.textAlign = "center";
  brush.textBaseline = "top";
  for (const { at, words } of scale.ticks()) {
    const x = scale.x(at), half = brush.measureText(words).width / 2;
    brush.moveTo(x, base);
    brush.lineTo(x, base + 4);
    brush.fillText(words, clamp(x, scale.left + half, scale.width - half), base + 12);
  }
  if (scene.stepAt.length) {
    brush.textAlign = "right";
    brush.textBaseline = "middle";
    for (const cents of new Set(layout.range)) {
      const y = layout.money(cents);
      brush.moveTo(scale.left - 4, y);
      brush.lineTo(scale.left, y);
      brush.fillText(dollars(cents), scale.left - 7, y, scale.left - 8);
    }
  }
  brush.stroke();
}

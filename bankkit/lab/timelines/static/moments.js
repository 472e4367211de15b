/* Reads and commits: a dot for each, which lights up at its time, and its amount. */

import { momentWords } from "./narration.js";
import { after, clamp } from "./numbers.js";
import { WAITING } from "./scene.js";
import { dot } from "./shapes.js";
import { FAINT } from "./theme.js";

const MAX_MOMENTS = 400; // dots in view; more would hide the bars
const MAX_AMOUNTS = 150; // dots in view that may have words

/* Draws the dots and amounts. Returns the number of dots that had no room. */
export function drawMoments(brush, view) {
  const { scene, scale, layout, theme, playback } = view;
  const first = after(scene.momentAt, scale.from - 1);
  const last = after(scene.momentAt, scale.to);
  const isCrowded = last - first > MAX_MOMENTS;
  const radius = clamp(layout.row * 0.13, 2.5, 4.5);
  const { ink } = theme.colours;
  let unseen = 0;
  for (let i = first; i < last; i++) {
    const at = scene.momentAt[i];
    const glow = playback.glow(at);
    if (isCrowded && !glow) {
      unseen += 1;
      continue;
    }
    const x = scale.x(at), y = layout.middle(scene.momentRow[i]);
    brush.globalAlpha = at <= playback.at ? 1 : FAINT;
    if (glow) {
      brush.globalAlpha = glow;
      brush.strokeStyle = theme.ink;
      brush.lineWidth = 2;
      dot(brush, x, y, radius + (1 - glow) * 14);
      brush.stroke();
      brush.globalAlpha = 1;
    }
    brush.fillStyle = scene.moments.isCommit[i] ? ink : "white";
    brush.strokeStyle = scene.moments.isCommit[i] ? "white" : ink;
    brush.lineWidth = 1;
    dot(brush, x, y, radius);
    brush.fill();
    brush.stroke();
  }
  if (layout.hasRoomForWords && last - first < MAX_AMOUNTS) drawAmounts(brush, view, first, last);
  return unseen;
}

/* Writes the amounts that were read and written, if they have room within the bar. */
function drawAmounts(brush, view, first, last) {
  const { scene, scale, layout, theme, playback } = view;
  brush.font = theme.font(12);
  brush.textBaseline = "middle";
  brush.textAlign = "left";
  brush.fillStyle = theme.colours.ink;
  brush.globalAlpha = 1;
  const ends = new Float64Array(scene.height).fill(-1e9); // where the last words of a row end
  for (let i = first; i < last; i++) {
    if (scene.momentAt[i] > playback.at) continue;
    const row = scene.momentRow[i], x = scale.x(scene.momentAt[i]);
    const bar = scene.byRow[row].find(
      (each) => scene.kind[each] !== WAITING && scene.holds(each, scene.momentAt[i]),
    );
    if (bar === undefined) continue;
    const words = momentWords(scene, i), width = brush.measureText(words).width;
    const isLeft = scene.moments.isCommit[i]; // the words are left of their dot
    const x0 = isLeft ? x - width - 9 : x + 9;
    const next = isLeft ? x : scale.x(nextWithin(view, i, bar));
    const start = Math.max(scale.x(scene.start[bar]), scale.left);
    if (x0 < Math.max(start, ends[row]) + 4 || x0 + width > next - 6) continue;
    ends[row] = x0 + width;
    brush.fillText(words, x0, layout.middle(row) + 0.5);
  }
}

/* The earliest of these times: the bar's next moment, its end, and the time that is shown. */
function nextWithin({ scene, playback }, moment, bar) {
  const later = scene.during(bar).find((i) => i > moment);
  const at = later === undefined ? Infinity : scene.momentAt[later];
  return Math.min(at, scene.end[bar], playback.at);
}

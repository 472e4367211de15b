/* Arrows between calls: from a release to the call that it let in, and for lost updates. */

import { after, clamp } from "./numbers.js";
import { READING } from "./scene.js";
import { arrow, cross, line } from "./shapes.js";

const MAX_ARROWS = 60; // in view; more would hide the bars

/* Draws an arrow from each release to the call that it let in. Returns the number of arrows that
   had no room. */
export function drawWakeUps(brush, { scene, scale, layout, theme, playback }) {
  const first = after(scene.wakeUpAt, scale.from - 1);
  const last = after(scene.wakeUpAt, Math.min(scale.to, playback.at));
  const isCrowded = after(scene.wakeUpAt, scale.to) - first > MAX_ARROWS;
  brush.strokeStyle = brush.fillStyle = theme.wake;
  brush.globalAlpha = 0.9;
  let drawn = 0;
  for (let i = first; i < last; i++) {
    const { from, released, to, granted } = scene.wakeUps[i];
    const glow = playback.glow(granted);
    if (from === to || (isCrowded && !glow)) continue;
    drawn += 1;
    brush.lineWidth = 1.2 + 2 * glow;
    const reach = layout.reach(READING) * (to > from ? 1 : -1);
    const y0 = layout.middle(from) + reach * 0.8, y1 = layout.middle(to) - reach;
    arrow(brush, scale.x(released), y0, scale.x(granted), y1, 5);
  }
  return isCrowded ? last - first - drawn : 0;
}

/* Draws a cross at each lost update, and an arrow from the stale read to the commit over it. */
export function drawLosses(brush, view) {
  const { scene, scale, layout, theme, playback } = view;
  const { at } = playback;
  const inView = scene.losses.filter(
    ({ readAt, wroteAt }) => readAt <= scale.to && wroteAt >= scale.from,
  );
  brush.strokeStyle = brush.fillStyle = theme.colours.lost;
  brush.globalAlpha = 1;
  if (inView.length <= MAX_ARROWS) for (const loss of inView) drawStaleWrite(brush, view, loss);
  for (const { lostRow, lostAt, wroteAt } of inView) {
    if (at < wroteAt) continue;
    const size = clamp(layout.row * 0.18, 3.5, 7);
    cross(brush, scale.x(lostAt), layout.middle(lostRow), size, theme.colours.lost);
  }
}

/* The arrow grows with time; it becomes solid at the commit. */
function drawStaleWrite(brush, { scale, layout, playback }, loss) {
  const { lostRow, lostAt, byRow, readAt, wroteAt } = loss;
  const { at } = playback;
  const isDone = at >= wroteAt;
  if (!isDone && (at < readAt || at < lostAt)) return;
  const stale = scale.x(readAt), over = scale.x(Math.min(at, wroteAt));
  const y = layout.middle(byRow), top = y - 0.45 * layout.row;
  brush.lineWidth = 2 + 2 * playback.glow(wroteAt);
  if (over - stale > 8) {
    brush.setLineDash(isDone ? [] : [3, 3]);
    brush.beginPath();
    brush.moveTo(stale, y - 4);
    brush.lineTo(stale, top);
    brush.lineTo(over, top);
    brush.stroke();
    brush.setLineDash([]);
    if (isDone) arrow(brush, over, top, over, y - 3, 5);
  }
  if (isDone && byRow !== lostRow) {
    brush.setLineDash([3, 2]);
    brush.lineWidth = 1.5;
    line(brush, scale.x(lostAt), layout.middle(lostRow), over, y);
    brush.setLineDash([]);
  }
}

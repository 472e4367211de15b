/* The faults of servers and their effects on calls: a mark, and words if there is room. */

import { clamp } from "./numbers.js";
import { faultMark } from "./shapes.js";
import { FAINT } from "./theme.js";

export function drawFaults(brush, { scene, scale, layout, theme, playback }) {
  const size = clamp(layout.row * 0.16, 3, 7);
  brush.font = theme.font(12);
  brush.textBaseline = "middle";
  brush.textAlign = "left";
  for (const { at, until, kind, words, row } of scene.marks) {
    if (!scale.contains(at)) continue;
    const x = scale.x(at), y = layout.middle(row);
    brush.globalAlpha = at <= playback.at ? 1 : FAINT;
    faultMark(brush, theme, kind, x, y, size + 4 * playback.glow(at));
    const width = brush.measureText(words).width;
    const room = Math.min(scale.x(until), scale.width - 4);
    if (at > playback.at || !layout.hasRoomForWords || x + width + 22 > room) continue;
    brush.fillStyle = theme.paper;
    brush.fillRect(x + 10, y - 8, width + 6, 16);
    brush.fillStyle = theme.ink;
    brush.fillText(words, x + 13, y + 0.5);
  }
  brush.globalAlpha = 1;
}

/* The bars in the lanes: when each client waits, reads and writes, and when each server runs.

   Bars out of view are skipped. The others are drawn style by style, because changing the style of
   a canvas is slow. */

import { HALTED, KINDS, READING, STALE, WAITING, WRITING } from "./scene.js";

const NARROW = 9; // pixels; a narrower bar has no room for a hatch or an edge

/* Draws a line while a server runs, a box while it is paused, and nothing while it is down. */
export function drawServers(brush, { scene, scale, layout, theme }) {
  for (const { server, kind, start, end } of scene.serverSpans) {
    if (kind === "down") continue;
    const x0 = scale.x(start), width = Math.max(scale.x(end), x0 + 1) - x0;
    const height = layout.serverHeight(kind);
    const y = layout.middle(layout.serverRow(server)) - height / 2;
    brush.globalAlpha = kind === "up" ? 0.35 : 1;
    brush.fillStyle = kind === "up" ? theme.ink : theme.stripes;
    brush.fillRect(x0, y, width, height);
    if (kind === "up") continue;
    brush.strokeStyle = theme.ink;
    brush.lineWidth = 0.7;
    brush.strokeRect(x0, y, width, height);
  }
  brush.globalAlpha = 1;
}

export function drawBars(brush, view) {
  const { boxes, edges } = boxesInView(view);
  const plain = boxes.length - 1;
  const looks = [...view.theme.looks(), [view.theme.ink]];
  for (const look of [WAITING, plain, READING, WRITING, HALTED, STALE]) {
    brush.globalAlpha = look === plain ? 0.28 : 1;
    const box = boxes[look];
    for (const layer of looks[look]) {
      brush.fillStyle = layer;
      for (let i = 0; i < box.length; i += 4) {
        brush.fillRect(box[i], box[i + 1], box[i + 2], box[i + 3]);
      }
    }
  }
  brush.strokeStyle = view.theme.ink;
  brush.globalAlpha = 0.6;
  brush.lineWidth = 0.7;
  brush.beginPath();
  for (let i = 0; i < edges.length; i += 4) {
    brush.rect(edges[i], edges[i + 1], edges[i + 2], edges[i + 3]);
  }
  brush.stroke();
}

/* The rectangles to fill: one list for each kind of bar, and a last one for waits that are too
   narrow for a hatch. Also a list of the rectangles that get an edge. Each takes four numbers. */
export function boxesInView({ scene, scale, layout }) {
  const [first, last] = scene.between(scale.from, scale.to);
  const boxes = [...KINDS.map(() => []), []];
  const plain = boxes.length - 1;
  const drawn = boxes.map(() => new Float64Array(scene.height)); // no pixel is filled twice
  const edges = [];
  for (let i = first; i < last; i++) {
    const kind = scene.kind[i], row = scene.row[i];
    const start = scale.x(scene.start[i]);
    const end = Math.max(scale.x(scene.end[i]), start + 1); // a short bar stays visible
    const isNarrow = end - start < NARROW;
    const look = kind === WAITING && isNarrow ? plain : kind;
    const x0 = Math.max(start, scale.left - 4, drawn[look][row]);
    const x1 = Math.min(end, scale.width + 4);
    if (x1 - x0 < 0.2) continue;
    drawn[look][row] = x1;
    const height = layout.barHeight(kind), y = layout.middle(row) - height / 2;
    boxes[look].push(x0, y, x1 - x0, height);
    if (!isNarrow) edges.push(x0, y, x1 - x0, height);
  }
  return { boxes, edges };
}

/* Outlines the bars that are active at the moment that is shown. */
export function outlineActive(brush, { scene, scale, layout, theme, playback }) {
  const { at } = playback;
  if (at >= scene.length) return;
  brush.strokeStyle = theme.ink;
  brush.globalAlpha = 1;
  brush.lineWidth = 2;
  brush.beginPath();
  const [first, last] = scene.between(at, at);
  for (let i = first; i < last; i++) {
    if (at >= scene.end[i]) continue;
    const x0 = Math.max(scale.x(scene.start[i]), scale.left - 4), x1 = scale.x(at);
    if (x1 - x0 < NARROW / 2) continue;
    const height = layout.barHeight(scene.kind[i]);
    brush.rect(x0, layout.middle(scene.row[i]) - height / 2, x1 - x0, height);
  }
  brush.stroke();
}

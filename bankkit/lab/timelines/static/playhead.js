/* The line at the moment that is shown, with a dot on each line of the balance. */

import { dot, line } from "./shapes.js";

export function drawPlayhead(brush, { scene, scale, layout, theme, playback }) {
  const { at } = playback;
  if (!scale.contains(at)) return;
  const x = scale.x(at), { base } = layout;
  brush.globalAlpha = 1;
  brush.strokeStyle = brush.fillStyle = theme.ink;
  brush.lineWidth = 1.5;
  line(brush, x, 0, x, base);
  brush.beginPath();
  brush.moveTo(x, base);
  brush.lineTo(x - 6, base + 8);
  brush.lineTo(x + 6, base + 8);
  brush.fill();
  const balance = scene.balance(at);
  if (!balance) return;
  const dots = [[balance.expected, theme.colours.expected], [balance.actual, theme.ink]];
  for (const [cents, colour] of dots) {
    brush.fillStyle = colour;
    dot(brush, x, layout.money(cents), 4);
    brush.fill();
  }
}

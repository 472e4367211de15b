/* The tooltip: the numbers of the bar, mark or balance under the pointer. */

import { element } from "../../drawing/static/dom.js";
import { balanceWords, barWords, serverWords } from "./narration.js";
import { clamp } from "./numbers.js";
import { WAITING } from "./scene.js";
import { duration } from "./words.js";

const SLACK = 3; // pixels by which a pointer may miss a bar

/* The words for the thing at a place of the canvas; empty if there is nothing. */
export function wordsAt({ scene, scale, layout }, x, y) {
  if (x < scale.left) return "";
  const at = scale.time(x);
  if (y > layout.lanesHeight) return balanceWords(scene, at);
  const slack = (SLACK * scale.span) / (scale.width - scale.left);
  const row = layout.rowAt(y);
  const mark = scene.marks.find((each) => each.row === row && Math.abs(each.at - at) < 2 * slack);
  if (mark) return `${mark.told}\n${duration(mark.at)}`;
  const life = scene.serverSpans.find(
    ({ server, start, end }) => layout.serverRow(server) === row && start <= at && at <= end,
  );
  if (life) return serverWords(scene, life);
  const bar = nearestBar(scene, row, at, slack);
  return bar === undefined ? "" : barWords(scene, bar);
}

/* The bar of a row that is nearest to a time, at most `slack` away from it. */
function nearestBar(scene, row, at, slack) {
  let best, nearest = slack;
  for (const bar of scene.byRow[row] ?? []) {
    const off = Math.max(scene.start[bar] - at, at - scene.end[bar], 0);
    // If two bars touch, the one that holds the lock is chosen.
    if (off < nearest || (off === nearest && scene.kind[bar] !== WAITING)) {
      best = bar;
      nearest = off;
    }
  }
  return best;
}

/* The place of a box near the pointer, such that the box stays within an area. */
export function placed(pointer, box, area) {
  const right = pointer.x + 14;
  const x = right + box.width > area.width ? pointer.x - box.width - 10 : right;
  return { x: Math.max(x, 0), y: clamp(pointer.y + 14, 0, area.height - box.height) };
}

export class Tooltip {
  constructor(parent) {
    this.box = element("div", "bk-tip", parent, { hidden: true });
  }

  show(words, pointer, area) {
    this.box.hidden = !words;
    if (!words) return;
    this.box.textContent = words;
    const size = { width: this.box.offsetWidth, height: this.box.offsetHeight };
    const { x, y } = placed(pointer, size, area);
    this.box.style.left = `${x}px`;
    this.box.style.top = `${y}px`;
  }

  hide() {
    this.box.hidden = true;
  }
}

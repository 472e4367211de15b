import assert from "node:assert/strict";
import { test } from "node:test";

import { drawLosses, drawWakeUps } from "../../bankkit/lab/timelines/static/arrows.js";
import { drawAxes } from "../../bankkit/lab/timelines/static/axes.js";
import { drawBalance } from "../../bankkit/lab/timelines/static/balance.js";
import { boxesInView, drawBars, drawServers } from "../../bankkit/lab/timelines/static/bars.js";
import { drawFaults } from "../../bankkit/lab/timelines/static/faults.js";
import { signs } from "../../bankkit/lab/timelines/static/legend.js";
import { drawMoments } from "../../bankkit/lab/timelines/static/moments.js";
import { drawPlayhead } from "../../bankkit/lab/timelines/static/playhead.js";
import { HALTED, Scene, STALE, WAITING, WRITING } from "../../bankkit/lab/timelines/static/scene.js";
import { fakeBrush } from "./support/brush.mjs";
import { MS, rawScene, scene, viewOf } from "./support/views.mjs";

const texts = (brush) => brush.called("fillText").map(({ values }) => values[0]);

/* A scene with many copies of every moment, a nanosecond apart. */
function crowded(copies) {
  const raw = rawScene("paused");
  for (const [name, column] of Object.entries(raw.moments)) {
    raw.moments[name] = column.flatMap((value) =>
      Array.from({ length: copies }, (_, i) => (name === "at" ? value + i : value)),
    );
  }
  return new Scene(raw);
}

test("each kind of bar has its own boxes, and no pixel is filled twice", () => {
  const view = viewOf(scene("paused"));
  const { boxes, edges } = boxesInView(view);
  const plain = boxes.length - 1;
  assert.equal(boxes[plain].length, 4, "client 1's wait of 1 ms has no room for a hatch");
  assert.equal(boxes[WAITING].length, 4);
  assert.equal(boxes[WRITING].length, 8);
  assert.equal(boxes[HALTED].length, 4);
  assert.equal(boxes[STALE].length, 4);
  assert.equal(edges.length, 5 * 4);
  const [x, , width] = boxes[HALTED];
  assert.ok(Math.abs(x - view.scale.x(60 * MS)) < 1e-9);
  assert.ok(Math.abs(x + width - view.scale.x(500 * MS)) < 1e-9);
});

test("thousands of bars within one pixel are one box", () => {
  const raw = rawScene("paused");
  for (const [name, column] of Object.entries(raw.bars)) {
    raw.bars[name] = Array.from({ length: 3000 }, () => column[1]);
    if (name === "start") raw.bars.start = raw.bars.start.map((_, i) => i);
    if (name === "end") raw.bars.end = raw.bars.end.map((_, i) => i + 1);
  }
  assert.ok(boxesInView(viewOf(new Scene(raw))).boxes[WRITING].length <= 8);
});

test("bars are cut off at the edges of the view", () => {
  const view = viewOf(scene("paused"));
  view.scale.show(100 * MS, 101 * MS);
  const { boxes } = boxesInView(view);
  const [x, , width] = boxes[HALTED];
  assert.equal(x, view.scale.left - 4);
  assert.equal(x + width, view.scale.width + 4);
  assert.deepEqual(boxes[WRITING], []);
});

test("a halted bar has the colour of the lock that it holds, with a hatch", () => {
  const brush = fakeBrush();
  drawBars(brush, viewOf(scene("paused")));
  const fills = brush.called("fillRect").map(({ fillStyle }) => fillStyle);
  assert.deepEqual(fills, ["hatch", "ink", "writing", "writing", "writing", "crosses", "dots"]);
});

test("a server that is down is not drawn", () => {
  const brush = fakeBrush();
  drawServers(brush, viewOf(scene("killed")));
  assert.equal(brush.called("fillRect").length, 2);
  assert.equal(brush.called("strokeRect").length, 0, "neither was paused");
});

test("an update is shown as lost from the commit over it on", () => {
  const crosses = (ms) => {
    const brush = fakeBrush();
    const view = viewOf(scene("paused"), ms * MS);
    drawLosses(brush, view);
    const { lost } = view.theme.colours;
    return brush.called("stroke").filter((call) => call.strokeStyle === lost).length;
  };
  assert.equal(crosses(500), 0, "nothing was written yet");
  assert.equal(crosses(600), 1, "the arrow from the stale read grows");
  assert.equal(crosses(725), 4, "arrow and its shaft, line to the loss, cross");
});

test("a release has an arrow from the grant on, unless there are too many", () => {
  const drawn = (made, ms) => {
    const brush = fakeBrush();
    const hidden = drawWakeUps(brush, viewOf(made, ms * MS));
    return [brush.called("stroke").length, hidden];
  };
  assert.deepEqual(drawn(scene("paused"), 509), [0, 0]);
  assert.deepEqual(drawn(scene("paused"), 510), [1, 0]);
  const raw = rawScene("paused");
  for (const [name, column] of Object.entries(raw.wakeUps)) {
    raw.wakeUps[name] = Array.from({ length: 61 }, () => column[0]);
  }
  assert.deepEqual(drawn(new Scene(raw), 742), [0, 61]);
});

test("moments that have not happened yet are faint", () => {
  const brush = fakeBrush();
  assert.equal(drawMoments(brush, viewOf(scene("paused"), 539_950_000)), 0, "just now");
  const dots = brush.called("fill").map(({ globalAlpha, fillStyle }) => [globalAlpha, fillStyle]);
  const ink = rawScene("paused").colours.ink;
  assert.deepEqual(dots, [[1, "white"], [1, "white"], [1, ink], [0.22, ink]]);
});

test("amounts are written if they have room beside their dots", () => {
  const brush = fakeBrush();
  const view = viewOf(scene("paused"));
  view.scale.show(505 * MS, 550 * MS);
  drawMoments(brush, view);
  assert.deepEqual(texts(brush), ["read $0", "wrote $100"]);
  const narrow = fakeBrush();
  drawMoments(narrow, viewOf(scene("paused")));
  assert.deepEqual(texts(narrow), []);
});

test("too many dots are counted instead of drawn", () => {
  const brush = fakeBrush();
  assert.equal(drawMoments(brush, viewOf(crowded(101))), 404);
  assert.equal(brush.called("fill").length, 0);
});

test("during playback, a dot that has just lit up is drawn even in a crowd", () => {
  const view = viewOf(crowded(101));
  view.playback.go(2 * MS);
  view.playback.playing = true;
  const brush = fakeBrush();
  assert.equal(drawMoments(brush, view), 303);
  assert.equal(brush.called("fill").length, 101);
});

test("a fault has words if they have room before the next thing in its row", () => {
  const brush = fakeBrush();
  drawFaults(brush, viewOf(scene("paused")));
  assert.deepEqual(texts(brush), ["paused", "lease ran out"]);
  const early = fakeBrush();
  drawFaults(early, viewOf(scene("paused"), 100 * MS));
  assert.deepEqual(texts(early), ["paused"], "the others have not happened yet");
});

test("a fault of every kind has a mark", () => {
  const brush = fakeBrush();
  drawFaults(brush, viewOf(scene("killed")));
  assert.ok(texts(brush).includes("?"), "an unknown outcome");
  assert.ok(texts(brush).includes("killed"));
});

test("the gap between the balances is filled, if there is one", () => {
  globalThis.Path2D ??= class {
    moveTo() {}
    lineTo() {}
  };
  const lossy = fakeBrush(), fine = fakeBrush(), unknown = fakeBrush();
  const nothing = scene("paused");
  nothing.stepAt = new Float64Array();
  drawBalance(lossy, viewOf(scene("paused")));
  drawBalance(fine, viewOf(scene("killed")));
  drawBalance(unknown, viewOf(nothing));
  assert.equal(lossy.called("fillRect").length, 1);
  assert.equal(lossy.called("stroke").length, 2);
  assert.equal(fine.called("stroke").length, 1);
  assert.deepEqual(unknown.calls, []);
});

test("the axis of amounts shows the lowest and the highest", () => {
  const brush = fakeBrush();
  drawAxes(brush, viewOf(scene("paused")));
  assert.deepEqual(texts(brush).slice(-2), ["$0", "$200"]);
  const flat = fakeBrush(), view = viewOf(scene("paused"));
  view.layout.range = [0, 0];
  drawAxes(flat, view);
  assert.deepEqual(texts(flat).slice(-2), ["700 ms", "$0"]);
});

test("the playhead is drawn while it is in view", () => {
  const view = viewOf(scene("paused"), 100 * MS);
  const brush = fakeBrush(), away = fakeBrush();
  drawPlayhead(brush, view);
  assert.equal(brush.called("arc").length, 2, "a dot on either balance");
  view.scale.show(200 * MS, 300 * MS);
  drawPlayhead(away, view);
  assert.deepEqual(away.calls, []);
});

test("the legend explains what is drawn, and nothing else", () => {
  const words = (name) => {
    const view = viewOf(scene(name));
    const found = signs(view.scene, view.theme);
    for (const { draw } of found) draw(fakeBrush());
    return found.map((sign) => sign.words);
  };
  assert.deepEqual(words("paused"), [
    "waits", "writes", "holds the lock, halted", "goes on without it", "balance read",
    "balance written", "lets in", "lost", "from a stale read", "expected", "paused",
    "lease ran out", "goes on",
  ]);
  assert.deepEqual(words("killed"), [
    "waits", "writes", "holds the lock, halted", "balance read", "balance written", "lets in",
    "killed", "outcome unknown", "lease ran out", "started again",
  ]);
});

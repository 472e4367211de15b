import assert from "node:assert/strict";
import { test } from "node:test";

import { TimeScale } from "../../bankkit/lab/timelines/static/scale.js";

function scale(length = 1_000_000) {
  return Object.assign(new TimeScale(length), { left: 100, width: 812 });
}

const view = ({ from, to }) => [from, to];

test("conversions between times and places are inverse", () => {
  const made = scale();
  assert.equal(made.x(0), 100);
  assert.equal(made.x(1_000_000), 800);
  made.zoom(3, 400_000);
  for (const at of [0, 123_456, 400_000, 999_999]) {
    assert.ok(Math.abs(made.time(made.x(at)) - at) < 1e-6);
  }
});

test("the time around which the view zooms keeps its place", () => {
  const made = scale();
  const before = made.x(300_000);
  made.zoom(1.6, 300_000);
  assert.ok(Math.abs(made.x(300_000) - before) < 1e-9);
  assert.equal(made.span, 1_000_000 / 1.6);
});

test("a view is never outside the recording, longer than it, or too short", () => {
  const made = scale();
  made.pan(0.5);
  assert.deepEqual(view(made), [0, 1_000_000]);
  made.show(900_000, 1_300_000);
  assert.deepEqual(view(made), [600_000, 1_000_000]);
  made.show(-50, 50);
  assert.deepEqual(view(made), [0, 200]);
  made.zoom(1000, 100);
  assert.ok(Math.abs(made.span - 200) < 1e-9);
  const short = scale(50);
  short.zoom(1000, 25);
  assert.deepEqual(view(short), [0, 50]);
});

test("after zooming in and out again, the whole recording is in view", () => {
  const made = scale();
  for (const factor of [1.6, 1.6, 1 / 1.6, 1 / 1.6, 1 / 1.6]) made.zoom(factor, 777_777);
  assert.deepEqual(view(made), [0, 1_000_000]);
});

test("the view follows a time that leaves it, and only then", () => {
  const made = scale();
  made.show(100_000, 200_000);
  assert.equal(made.follow(200_000), false);
  assert.equal(made.follow(200_001), true);
  assert.deepEqual(view(made), [190_001, 290_001]);
  assert.equal(made.follow(50_000), true);
  assert.deepEqual(view(made), [40_000, 140_000]);
});

test("ticks are round times in view, far enough apart for their labels", () => {
  for (const length of [700, 50_000, 2_500_000, 742_000_000, 90_000_000_000]) {
    for (const factor of [1, 3, 40]) {
      const made = scale(length);
      made.zoom(factor, length / 3);
      const ticks = made.ticks();
      assert.ok(ticks.length >= 1 && ticks.length <= 8, `${ticks.length} ticks`);
      assert.equal(new Set(ticks.map(({ words }) => words)).size, ticks.length);
      for (const { at } of ticks) assert.ok(made.contains(at));
      for (let i = 1; i < ticks.length; i++) {
        assert.ok(made.x(ticks[i].at) - made.x(ticks[i - 1].at) > 80);
      }
    }
  }
});

test("the unit of the ticks fits the view", () => {
  const words = (length) => scale(length).ticks().map((tick) => tick.words);
  assert.deepEqual(words(1000).slice(0, 3), ["0.0 µs", "0.2 µs", "0.4 µs"]);
  assert.deepEqual(words(742_000_000).slice(0, 2), ["0 ms", "100 ms"]);
  assert.deepEqual(words(3_000_000_000).slice(0, 2), ["0.0 s", "0.5 s"]);
});

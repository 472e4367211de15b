import assert from "node:assert/strict";
import { test } from "node:test";

import { placed, wordsAt } from "../../bankkit/lab/timelines/static/tooltip.js";
import { MS, scene, viewOf } from "./support/views.mjs";

const view = viewOf(scene("paused"));
const { layout, scale } = view;

/* The tooltip at a time, in the middle of a row. */
const at = (ms, row) => wordsAt(view, scale.x(ms * MS), layout.middle(row));

test("the tooltip of a bar describes it", () => {
  assert.ok(at(300, 0).includes("holds the lock, halted for 440 ms"));
  assert.ok(at(300, 1).includes("waits 440 ms"));
});

test("there is no tooltip left of the lanes, or where nothing is drawn", () => {
  assert.equal(wordsAt(view, 50, layout.middle(0)), "");
  assert.equal(at(20, 1), "");
  assert.equal(at(650, 0), "");
});

test("the pointer may miss a bar by three pixels", () => {
  const end = scale.x(541 * MS);
  assert.ok(wordsAt(view, end + 2, layout.middle(1)).includes("writes"));
  assert.equal(wordsAt(view, end + 4, layout.middle(1)), "");
});

test("if two bars touch, the tooltip describes the one that holds the lock", () => {
  const near = viewOf(scene("paused"));
  near.scale.show(510 * MS, 520 * MS);
  assert.ok(wordsAt(near, near.scale.left, layout.middle(1)).includes("writes for 31 ms"));
});

test("a mark takes precedence over the bar below it", () => {
  assert.equal(at(500, 0), "the lease of client 1 runs out\n500 ms");
  assert.equal(at(60, 2), "server 1 is paused\n60 ms");
});

test("the tooltip of a server says whether it runs", () => {
  assert.equal(at(300, 2), "server 1 is paused\n640 ms");
  assert.equal(at(300, 3), "server 2 runs\n742 ms");
});

test("below the lanes, the tooltip shows the balance", () => {
  const words = wordsAt(view, scale.x(735 * MS), layout.lanesHeight + 40);
  assert.equal(words, "735 ms\nbalance $100\nexpected $200\n✗ $100 lost");
});

test("the tooltip stays within the plot", () => {
  const area = { width: 800, height: 400 }, box = { width: 200, height: 60 };
  assert.deepEqual(placed({ x: 100, y: 50 }, box, area), { x: 114, y: 64 });
  assert.deepEqual(placed({ x: 700, y: 390 }, box, area), { x: 490, y: 340 });
  assert.deepEqual(placed({ x: 100, y: 50 }, { width: 900, height: 60 }, area), { x: 0, y: 64 });
});

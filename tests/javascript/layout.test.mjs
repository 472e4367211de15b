import assert from "node:assert/strict";
import { test } from "node:test";

import { AXIS, labelColumn, Layout } from "../../bankkit/lab/timelines/static/layout.js";
import { READING, Scene, WAITING, WRITING } from "../../bankkit/lab/timelines/static/scene.js";
import { rawScene, scene } from "./support/views.mjs";

function crowded(rows) {
  const raw = rawScene("paused");
  raw.rows = [rows, 1];
  return new Layout(new Scene(raw));
}

test("rows get lower as they get more, but never too low to point at", () => {
  assert.equal(new Layout(scene("paused")).row, 52);
  assert.equal(crowded(17).row, 23);
  assert.equal(crowded(200).row, 13);
});

test("the lanes, the balance and the axis follow each other from top to bottom", () => {
  const made = new Layout(scene("paused"));
  assert.equal(made.lanesHeight, 4 * 52);
  assert.equal(made.middle(0), 26);
  assert.deepEqual([0, 51, 52, 207].map((y) => made.rowAt(y)), [0, 0, 1, 3]);
  assert.equal(made.serverRow(1), 3);
  assert.ok(made.base > made.lanesHeight);
  assert.equal(made.height, made.base + AXIS);
});

test("the height of a bar shows its kind without colours", () => {
  const made = new Layout(scene("paused"));
  assert.ok(made.barHeight(WAITING) < made.barHeight(READING));
  assert.ok(made.barHeight(READING) < made.barHeight(WRITING));
  assert.ok(made.barHeight(WRITING) < made.row);
  assert.equal(made.reach(READING) * 2, made.barHeight(READING));
  assert.ok(made.serverHeight("up") < made.serverHeight("paused"));
});

test("amounts lie between the lanes and the axis, larger ones higher", () => {
  const made = new Layout(scene("paused"));
  made.range = [0, 20_000];
  const [none, some, all] = [0, 10_000, 20_000].map((cents) => made.money(cents));
  assert.ok(made.base > none && none > some && some > all && all > made.lanesHeight);
  assert.equal(none - some, some - all);
  made.range = [500, 500];
  assert.equal(made.money(500), (none + all) / 2, "a balance that never changes is in the middle");
});

test("a client's server is below its name if there is one server, and room", () => {
  assert.deepEqual(new Layout(scene("paused")).labels(), [
    { name: "client 1", place: "at server 1" },
    { name: "client 2", place: "at server 2" },
    { name: "server 1", place: "" },
    { name: "server 2", place: "" },
  ]);
  assert.equal(crowded(17).labels()[0].place, "");
  const raw = rawScene("paused");
  raw.servedBy[0] = ["server 1", "server 2"];
  raw.clients[1] = "a client with a very long name";
  const [first, second] = new Layout(new Scene(raw)).labels();
  assert.equal(first.place, "");
  assert.equal(second.name, "a client with a…");
});

test("the names get the width that they need, up to a quarter of the plot", () => {
  assert.equal(labelColumn(70.2, 800), 83);
  assert.equal(labelColumn(10, 800), 64);
  assert.equal(labelColumn(500, 800), 200);
});

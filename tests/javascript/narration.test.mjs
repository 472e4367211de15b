import assert from "node:assert/strict";
import { test } from "node:test";

import * as narration from "../../bankkit/lab/timelines/static/narration.js";
import { MS, scene } from "./support/views.mjs";

const paused = scene("paused"), killed = scene("killed");

test("a wait names its duration, the holders of the lock, and the releasing client", () => {
  assert.equal(
    narration.barWords(paused, 3),
    "client 2: Deposit at server 2\nwaits 440 ms for the lock, to write\n" +
      "held by client 1\nlet in by client 1",
  );
  assert.equal(
    narration.barWords(paused, 0),
    "client 1: Deposit at server 1\nwaits 1 ms for the lock, to write",
  );
});

test("a hold names the amounts read and written, and the lost update", () => {
  assert.equal(
    narration.barWords(paused, 4),
    "client 2: Deposit at server 2\nwrites for 31 ms\nread $0, wrote $100\n✗ this was lost",
  );
  assert.equal(
    narration.barWords(paused, 5),
    "client 1: Deposit at server 1\ngoes on without it for 42 ms\nwrote $100\n" +
      "✗ client 1 read $0, client 2 wrote $100, client 1 wrote $100 over it",
  );
});

test("a server's words say that it runs, is paused or is gone", () => {
  const words = killed.serverSpans.map((span) => narration.serverWords(killed, span));
  assert.deepEqual(words, [
    "server 1 runs\n60 ms", "server 1 is gone\n540 ms", "server 2 runs\n600 ms",
  ]);
  assert.equal(
    narration.serverWords(paused, paused.serverSpans[1]),
    "server 1 is paused\n640 ms",
  );
});

test("the balance is told with the missing amount, if it is known", () => {
  assert.equal(narration.balanceWords(paused, 600 * MS), "600 ms\nbalance $100");
  assert.equal(
    narration.balanceWords(paused, 730 * MS),
    "730 ms\nbalance $100\nexpected $200\n✗ $100 lost",
  );
  assert.equal(narration.balanceWords(paused, paused.length + 1), "");
  assert.equal(narration.balanceWords(paused, -1), "");
});

test("each event is told at its time, and not before", () => {
  const told = (ms) => narration.eventWords(paused, ms * MS);
  assert.equal(told(0), "client 1 waits");
  assert.equal(told(1), "client 1 writes");
  assert.equal(told(1.95), "client 1 read $0");
  assert.equal(told(30), "");
  assert.equal(
    told(60),
    "client 1 is done; client 1 holds the lock, halted; server 1 is paused",
  );
  assert.equal(
    told(725),
    "client 1 wrote $100; lost: client 1 read $0, client 2 wrote $100, client 1 wrote $100 over it",
  );
});

test("many events at one time are counted", () => {
  const busy = scene("paused");
  busy.start.fill(0);
  busy.end.fill(10);
  busy.reach.fill(10);
  assert.equal(narration.eventWords(busy, 0), "6 things happen");
});

test("a screen reader hears the time, the events and the balance", () => {
  assert.equal(
    narration.spokenWords(paused, 1 * MS),
    "1 ms. client 1 writes. Balance $0, expected $0.",
  );
  assert.equal(narration.spokenWords(paused, 650 * MS), "650 ms. Balance $100, expected $100.");
});

test("the label of the plot has its description and its keys", () => {
  const label = narration.plotLabel(paused);
  assert.ok(label.startsWith(paused.line));
  for (const key of ["Space", "plus", "minus", "0", "brackets", "Home", "End"]) {
    assert.ok(label.includes(key));
  }
});

test("the hint says how much is not shown", () => {
  const hint = (leftOut, hidden, unseen) => narration.hintWords({ leftOut }, hidden, unseen);
  const always = hint(0, 0, 0);
  assert.ok(always.startsWith("Click the timeline, then: "));
  assert.equal(hint(0, 70, 0), `Zoom in to see 70 arrows. ${always}`);
  assert.equal(
    hint(10, 70, 500),
    `10 more clients are not shown. Zoom in to see 70 arrows and 500 reads or commits. ${always}`,
  );
});

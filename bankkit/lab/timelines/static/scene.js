/* The scene that Python sends (scene.py), prepared for drawing: rows are counted over all lanes,
   columns are typed, and indices find the bars in view and the balance quickly. */

import { after, clamp, firstIndex } from "./numbers.js";

export const WAITING = 0, READING = 1, WRITING = 2, HALTED = 3, STALE = 4;
export const KINDS = ["waits", "reads", "writes", "holds the lock, halted", "goes on without it"];

export class Scene {
  constructor(scene) {
    Object.assign(this, scene);
    const { bars, moments, steps } = scene;
    this.length = Math.max(scene.length, 1);
    this.tops = [0]; // the first row of each lane, and the end of the last
    for (const rows of [...scene.rows, ...scene.servers.map(() => 1)]) {
      this.tops.push(this.tops.at(-1) + rows);
    }
    this.height = this.tops.at(-1); // in rows
    const place = ([lane, row]) => this.tops[lane] + row;

    this.count = bars.start.length;
    this.start = Float64Array.from(bars.start);
    this.end = Float64Array.from(bars.end);
    this.kind = Uint8Array.from(bars.kind);
    this.row = Uint16Array.from(bars.row, (row, i) => place([bars.lane[i], row]));
    // `reach[i]` is the latest end of the bars up to i. It never decreases, so a binary search
    // finds the first bar that may last past a given time.
    this.reach = Float64Array.from(this.end);
    for (let i = 1; i < this.count; i++) {
      this.reach[i] = Math.max(this.reach[i], this.reach[i - 1]);
    }
    this.byRow = Array.from({ length: this.height }, () => []);
    for (let i = 0; i < this.count; i++) this.byRow[this.row[i]].push(i);

    this.momentAt = Float64Array.from(moments.at);
    this.momentRow = Uint16Array.from(moments.row, (row, i) => place([moments.lane[i], row]));
    this.wakeUps = records(scene.wakeUps).map(({ from, to, released, granted }) => ({
      from: place(from), to: place(to), released, granted,
    }));
    this.wakeUpAt = Float64Array.from(scene.wakeUps.granted);
    this.serverSpans = records(scene.serverSpans);
    this.losses = scene.lost.map((each) => ({
      ...each, lostRow: place(each.lost), byRow: place(each.by),
    }));
    this.marks = records(scene.marks);
    for (const mark of this.marks) mark.row = place([mark.lane, mark.row]);
    for (const mark of this.marks) mark.until = this.nextInRow(mark);

    this.stepAt = Float64Array.from(steps.at);
    this.isLossy = steps.actual.some((cents, i) => cents !== steps.expected[i]);
    const times = new Set([
      0, this.length, ...this.start, ...this.end, ...moments.at, ...scene.marks.at,
    ]);
    this.events = Float64Array.from(times).sort();
  }

  /* The start of the next bar or mark in a mark's row: the words have room until then. */
  nextInRow({ row, at }) {
    const others = [
      ...this.byRow[row].map((bar) => this.start[bar]),
      ...this.marks.filter((each) => each.row === row).map((each) => each.at),
    ];
    return others.filter((each) => each > at).reduce((a, b) => Math.min(a, b), Infinity);
  }

  /* The time of the next or the previous event; of the last or the first if there is none. */
  eventBeside(at, direction) {
    const next = direction > 0 ? after(this.events, at) : after(this.events, at - 0.5) - 1;
    return this.events[clamp(next, 0, this.events.length - 1)];
  }

  /* The actual and the expected balance at a time, in cents; null if unknown. */
  balance(at) {
    const step = after(this.stepAt, at) - 1;
    if (step < 0) return null;
    return { actual: this.steps.actual[step], expected: this.steps.expected[step] };
  }

  /* The lowest and the highest balance, actual or expected, between the two times. */
  range(from, to) {
    const { actual, expected } = this.steps;
    let low = Infinity, high = -Infinity;
    const last = after(this.stepAt, to);
    for (let i = Math.max(after(this.stepAt, from) - 1, 0); i < last; i++) {
      low = Math.min(low, actual[i], expected[i]);
      high = Math.max(high, actual[i], expected[i]);
    }
    return [low, high];
  }

  /* The bars that may overlap the time between the two: the first, and the one after the last. */
  between(from, to) {
    return [firstIndex(this.count, (i) => this.reach[i] >= from), after(this.start, to)];
  }

  holds(bar, at) {
    return this.start[bar] <= at && at <= this.end[bar];
  }

  /* The moments within a bar. */
  during(bar) {
    const found = [];
    let i = after(this.momentAt, this.start[bar] - 1);
    for (; i < this.momentAt.length && this.momentAt[i] <= this.end[bar]; i++) {
      if (this.momentRow[i] === this.row[bar]) found.push(i);
    }
    return found;
  }
}

/* Converts a table of columns into a list of records. */
function records(columns) {
  const names = Object.keys(columns);
  return columns[names[0]].map((_, i) =>
    Object.fromEntries(names.map((name) => [name, columns[name][i]])),
  );
}

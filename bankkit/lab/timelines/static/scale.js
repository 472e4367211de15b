/* The time axis: which part of the recording is in view, and where each moment is on the canvas.
   Times are nanoseconds, places are pixels from the left. */

import { clamp, roundUp } from "./numbers.js";

const RIGHT = 12; // pixels between the end of the view and the edge of the canvas
const SHORTEST_VIEW = 200; // nanoseconds
const TICKS_APART = 90; // pixels, at least

export class TimeScale {
  constructor(length) {
    this.length = length;
    this.from = 0;
    this.to = length;
    this.left = 0; // of the first moment in view; the names of the lanes are left of it
    this.width = 0; // of the whole canvas
  }

  /* How long the time in view is. */
  get span() {
    return this.to - this.from;
  }

  /* How wide the time in view is. */
  get room() {
    return this.width - this.left - RIGHT;
  }

  x(at) {
    return this.left + ((at - this.from) / this.span) * this.room;
  }

  time(x) {
    return this.from + ((x - this.left) / this.room) * this.span;
  }

  contains(at) {
    return this.from <= at && at <= this.to;
  }

  show(from, to) {
    const span = clamp(to - from, Math.min(SHORTEST_VIEW, this.length), this.length);
    this.from = clamp(from, 0, this.length - span);
    this.to = this.from + span;
  }

  /* Makes everything wider by a factor; `around` stays where it is. */
  zoom(factor, around) {
    const span = this.span / factor;
    const share = (around - this.from) / this.span;
    this.show(around - span * share, around + span * (1 - share));
  }

  /* Moves the view by a share of itself. */
  pan(share) {
    const by = this.span * share;
    this.show(this.from + by, this.to + by);
  }

  /* Moves the view to a time that is out of sight. Returns whether it has moved. */
  follow(at) {
    if (this.contains(at)) return false;
    this.show(at - this.span * 0.1, at + this.span * 0.9);
    return true;
  }

  /* The marks of the axis: round times in view, with their words. */
  ticks() {
    const step = roundUp((this.span / (this.width - this.left)) * TICKS_APART);
    const [unit, divisor] = this.to < 2e6 ? ["µs", 1e3] : this.to < 2e9 ? ["ms", 1e6] : ["s", 1e9];
    const digits = Math.max(0, -Math.floor(Math.log10(step / divisor)));
    const found = [];
    for (let at = Math.ceil(this.from / step) * step; at <= this.to; at += step) {
      found.push({ at, words: `${(at / divisor).toFixed(digits)} ${unit}` });
    }
    return found;
  }
}

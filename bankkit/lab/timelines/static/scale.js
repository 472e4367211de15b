/* The time axis: the part of the recording that is in view, and the place of each moment on the
   canvas. Times are in nanoseconds, places in pixels from the left. */

import { clamp, roundUp } from "./numbers.js";

const RIGHT = 12; // pixels between the end of the view and the edge of the canvas
const SHORTEST_VIEW = 200; // nanoseconds
const TICKS_APART = 90; // least distance in pixels

export class TimeScale {
  constructor(length) {
    this.length = length;
    this.from = 0;
    this.to = length;
    this.left = 0; // the place of the first moment in view; the names of the lanes are left of it
    this.width = 0; // the width of the whole canvas
  }

  /* The length of the time in view, in nanoseconds. */
  get span() {
    return this.to - this.from;
  }

  /* The width of the time in view, in pixels. */
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

  /* Zooms by a factor; the time `around` keeps its place. */
  zoom(factor, around) {
    const span = this.span / factor;
    const share = (around - this.from) / this.span;
    this.show(around - span * share, around + span * (1 - share));
  }

  /* Moves the view by a share of its length. */
  pan(share) {
    const by = this.span * share;
    this.show(this.from + by, this.to + by);
  }

  /* Moves the view if a time is outside it. Returns whether the view has moved. */
  follow(at) {
    if (this.contains(at)) return false;
    this.show(at - this.span * 0.1, at + this.span * 0.9);
    return true;
  }

  /* The ticks of the axis: round times in view, with their labels. */
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

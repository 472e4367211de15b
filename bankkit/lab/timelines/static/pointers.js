/* Mouse, fingers and wheel: they drag, pinch and zoom the view, and choose the time. */

import { clamp } from "./numbers.js";
import { wordsAt } from "./tooltip.js";

const STILL = 3; // pixels that a pointer may move in a click

/* How far a wheel event moves or zooms the view. `isPinch`: a trackpad's pinch comes as a wheel
   event with Ctrl. */
export function wheelMove({ deltaX, deltaY, shiftKey }, isPinch) {
  if (shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) return { pan: (deltaX || deltaY) / 1000 };
  return { zoom: Math.exp(-deltaY / (isPinch ? 100 : 400)) };
}

export class Pointers {
  constructor(timeline) {
    this.timeline = timeline;
    this.down = new Map(); // by pointer id: where the pointer is and where it was pressed
    this.isScrubbing = false;
    const { moving } = timeline.page;
    timeline.on(moving, "wheel", (event) => this.onWheel(event), { passive: false });
    timeline.on(moving, "pointerdown", (event) => this.onDown(event));
    timeline.on(moving, "pointermove", (event) => this.onMove(event));
    timeline.on(moving, "pointerup", (event) => this.onUp(event));
    timeline.on(moving, "pointercancel", (event) => this.down.delete(event.pointerId));
    timeline.on(moving, "pointerleave", () => timeline.tooltip.hide());
  }

  /* A wheel scrolls the page, unless the timeline has the focus or the event is a pinch. */
  onWheel(event) {
    const { timeline } = this;
    const isPinch = event.ctrlKey || event.metaKey;
    if (!isPinch && !timeline.page.root.contains(document.activeElement)) return;
    event.preventDefault();
    const { pan, zoom } = wheelMove(event, isPinch);
    if (zoom === undefined) timeline.pan(pan);
    else timeline.zoom(zoom, timeline.scale.time(event.offsetX));
  }

  onDown(event) {
    const { page, layout } = this.timeline;
    page.moving.setPointerCapture(event.pointerId);
    page.plot.focus({ preventScroll: true });
    this.down.set(event.pointerId, { x: event.offsetX, start: event.offsetX });
    this.isScrubbing = event.offsetY > layout.lanesHeight;
    if (this.isScrubbing) this.scrub(event);
  }

  onMove(event) {
    const { timeline } = this;
    const pointer = this.down.get(event.pointerId);
    if (!pointer) {
      this.point(event);
      return;
    }
    const before = this.places();
    pointer.x = event.offsetX;
    const now = this.places();
    if (now.length === 2) {
      const apart = Math.abs(now[0] - now[1]) / Math.max(Math.abs(before[0] - before[1]), 1);
      timeline.zoom(clamp(apart, 0.5, 2), timeline.scale.time((now[0] + now[1]) / 2));
    } else if (this.isScrubbing) {
      timeline.go(timeline.scale.time(event.offsetX));
    } else {
      timeline.page.plot.classList.add("bk-dragging");
      timeline.pan((before[0] - now[0]) / timeline.scale.room);
    }
    timeline.tooltip.hide();
  }

  onUp(event) {
    const pointer = this.down.get(event.pointerId);
    this.down.delete(event.pointerId);
    this.timeline.page.plot.classList.remove("bk-dragging");
    if (!pointer) return;
    const isClick = Math.abs(pointer.x - pointer.start) < STILL;
    if (isClick) {
      this.scrub(event);
      this.point(event);
    }
    if (isClick || this.isScrubbing) this.timeline.tell();
  }

  places() {
    return [...this.down.values()].map(({ x }) => x);
  }

  scrub(event) {
    this.timeline.pause();
    this.timeline.go(this.timeline.scale.time(event.offsetX));
  }

  point({ offsetX: x, offsetY: y }) {
    const { timeline } = this;
    const area = { width: timeline.scale.width, height: timeline.layout.height };
    timeline.tooltip.show(wordsAt(timeline, x, y), { x, y }, area);
  }
}

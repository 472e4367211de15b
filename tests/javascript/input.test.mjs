import assert from "node:assert/strict";
import { test } from "node:test";

import { commandOf as stepperCommand } from "../../bankkit/lab/schedules/static/keyboard.js";
import { commandOf } from "../../bankkit/lab/timelines/static/keyboard.js";
import { wheelMove } from "../../bankkit/lab/timelines/static/pointers.js";
import { isDark } from "../../bankkit/lab/timelines/static/theme.js";

test("some keys of the timeline work everywhere, some only in the plot", () => {
  assert.deepEqual(commandOf({ key: "]" }, false), ["step", 1]);
  assert.deepEqual(commandOf({ key: "=" }, true), commandOf({ key: "+" }, true));
  assert.deepEqual(commandOf({ key: "End" }, true), ["jump", Infinity]);
  assert.equal(commandOf({ key: "End" }, false), undefined, "a slider has its own End");
  assert.equal(commandOf({ key: " " }, false), undefined, "a button has its own Space");
  assert.equal(commandOf({ key: "toString" }, true), undefined);
});

test("keys with Ctrl, Alt or ⌘ belong to the browser", () => {
  for (const held of ["ctrlKey", "altKey", "metaKey"]) {
    assert.equal(commandOf({ key: "0", [held]: true }, true), undefined);
    assert.equal(stepperCommand({ key: "r", code: "KeyR", [held]: true }), undefined);
  }
});

test("in the stepper a digit steps a thread, and Shift chooses its second way", () => {
  assert.deepEqual(stepperCommand({ key: "2", code: "Digit2" }), ["step", 1, 0]);
  assert.deepEqual(stepperCommand({ key: '"', code: "Digit2", shiftKey: true }), ["step", 1, 1]);
  assert.deepEqual(stepperCommand({ key: "3", code: "Numpad3" }), ["step", 2, 0]);
  assert.equal(stepperCommand({ key: "0", code: "Digit0" }), undefined);
});

test("in the stepper letters of either case press buttons, and a held key does it once", () => {
  assert.deepEqual(stepperCommand({ key: "u", code: "KeyU" }), ["press", "undo"]);
  assert.deepEqual(stepperCommand({ key: "Backspace", code: "Backspace" }), ["press", "undo"]);
  assert.deepEqual(stepperCommand({ key: "R", code: "KeyR" }), ["press", "reset"]);
  assert.deepEqual(stepperCommand({ key: "e", code: "KeyE" }), ["press", "explore"]);
  assert.equal(stepperCommand({ key: "u", code: "KeyU", repeat: true }), undefined);
  assert.equal(stepperCommand({ key: "Enter", code: "Enter" }), undefined);
});

test("a wheel zooms; sideways or with Shift it pans", () => {
  assert.deepEqual(wheelMove({ deltaX: 0, deltaY: 100, shiftKey: true }, false), { pan: 0.1 });
  assert.deepEqual(wheelMove({ deltaX: -50, deltaY: 3 }, false), { pan: -0.05 });
  const { zoom } = wheelMove({ deltaX: 0, deltaY: -400 }, false);
  assert.equal(zoom, Math.E);
  const back = wheelMove({ deltaX: 0, deltaY: 400 }, false).zoom;
  assert.ok(Math.abs(zoom * back - 1) < 1e-12, "zooming in and out again restores the view");
  assert.ok(wheelMove({ deltaX: 0, deltaY: -4 }, true).zoom > wheelMove({ deltaX: 0, deltaY: -4 }, false).zoom);
});

test("a background is recognized as dark or light in every format of a browser", () => {
  assert.equal(isDark("rgb(17, 17, 17)"), true);
  assert.equal(isDark("rgb(255, 255, 255)"), false);
  assert.equal(isDark("rgba(0, 0, 255, 0.5)"), true);
  assert.equal(isDark("rgb(0 200 0)"), true);
  assert.equal(isDark("rgb(0 255 0)"), false);
});

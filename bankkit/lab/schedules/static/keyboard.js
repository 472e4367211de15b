/* What each key does: a method of the stepper, and its arguments. */

const LETTERS = new Map([
  ["u", ["press", "undo"]],
  ["backspace", ["press", "undo"]],
  ["r", ["press", "reset"]],
  ["e", ["press", "explore"]],
]);

/* The command of a pressed key; undefined if it has none. A digit is a thread's number. */
export function commandOf({ key, code, shiftKey, ctrlKey, metaKey, altKey, repeat }) {
  if (ctrlKey || metaKey || altKey || repeat) return undefined;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(code);
  if (digit) return ["step", Number(digit[1]) - 1, shiftKey ? 1 : 0];
  return LETTERS.get(key.toLowerCase());
}

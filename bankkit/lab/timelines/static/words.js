/* Amounts, durations and names as a reader expects them. */

export function dollars(cents) {
  const whole = Math.floor(Math.abs(cents) / 100), rest = Math.abs(cents) % 100;
  const tail = rest ? `.${String(rest).padStart(2, "0")}` : "";
  return `${cents < 0 ? "-" : ""}$${whole.toLocaleString("en-US")}${tail}`;
}

export function duration(ns) {
  if (ns < 999.5) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${Number((ns / 1e3).toPrecision(3))} µs`;
  if (ns < 999_500_000) return `${Number((ns / 1e6).toPrecision(3))} ms`;
  return `${Number((ns / 1e9).toPrecision(3))} s`;
}

/* The amount missing from a balance, or too much in it; `gone` is expected - actual, in cents. */
export function lossWords(gone) {
  return `✗ ${dollars(Math.abs(gone))} ${gone > 0 ? "lost" : "too much"}`;
}

/* The playback speed compared with the recorded events; `slower` is the factor of slowness. */
export function speedWords(slower) {
  return slower >= 1 ? `${twoDigits(slower)}× slower` : `${twoDigits(1 / slower)}× faster`;
}

function twoDigits(number) {
  return Number(number.toPrecision(2)).toLocaleString("en-US");
}

export function listed(names) {
  if (names.length > 4) return `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  return names.join(names.length === 2 ? " and " : ", ");
}

export const shortened = (name) => (name.length > 16 ? `${name.slice(0, 15)}…` : name);

/* The client of a call: its id is `CLIENT#NUMBER`. */
export const clientOf = (call) => call.slice(0, call.lastIndexOf("#"));

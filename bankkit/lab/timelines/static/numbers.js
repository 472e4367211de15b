/* Arithmetic that several files use. */

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/* The first index below `count` for which `holds` is true, else `count`. This is a binary search:
   `holds` must stay true for all later indices. */
export function firstIndex(count, holds) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/* The first index whose time is later than `at`; the times ascend. */
export const after = (times, at) => firstIndex(times.length, (i) => times[i] > at);

/* The first number of the series … 1, 2, 5, 10, 20, 50 … that is not less than this one. */
export function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= number);
}

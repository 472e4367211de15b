/* A fake brush of a canvas: it draws nothing, and records each call with the style at that time. */

const STYLES = ["fillStyle", "globalAlpha", "lineWidth", "strokeStyle"];

export function fakeBrush() {
  const calls = [];
  const state = { globalAlpha: 1 };
  return new Proxy(state, {
    get(_, name) {
      if (name === "calls") return calls;
      if (name === "called") return (wanted) => calls.filter((call) => call.name === wanted);
      if (name === "measureText") return (words) => ({ width: 7 * words.length });
      if (name in state) return state[name];
      return (...values) => {
        const style = Object.fromEntries(STYLES.map((each) => [each, state[each]]));
        calls.push({ name, values, ...style });
      };
    },
  });
}

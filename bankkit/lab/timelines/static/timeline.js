/* The live timeline of a race: play it, zoom, pan, point at things.

   Python (timeline_widget.py) sends one scene; from then on all happens here. Times are whole
   nanoseconds from the start of the recording, money is in cents.

   Nothing is drawn while nothing changes, and while time passes only what moves: it has a canvas of
   its own above the one with bars and balance, and between the two lies a veil over what is still to
   come. A change of the view draws all anew; then bars out of sight are skipped, and the rest goes
   style by style, since a canvas is slow to change its style. */

const WAITING = 0, READING = 1, WRITING = 2, HALTED = 3, STALE = 4;
const HEIGHTS = [0.34, 0.46, 0.74, 0.74, 0.74]; // of a row: who sees no colours sees these
const KINDS = ["waits", "reads", "writes", "holds the lock, halted", "goes on without it"];
const SERVER_HEIGHTS = { up: 0.18, paused: 0.46 };
const BALANCE = 118, GAP = 12, AXIS = 30, RIGHT = 12; // pixels
const MAX_ARROWS = 60, MAX_MOMENTS = 400; // in view; more would hide what they point at
const NARROW = 9; // pixels of a bar in which no hatch or edge can be seen
const FAINT = 0.22; // what has not happened yet; so much of it shines through the veil
const GLOW_MS = 450; // how long what has just happened stands out, on the reader's clock
const SHORTEST_PLAY = 5, LONGEST_PLAY = 24; // seconds, at normal speed
const CALM_STEP = 0.5; // seconds between two pictures, for whom motion makes dizzy

export default {
  render({ model, el }) {
    const timeline = new Timeline(el, model.get("scene"));
    return () => timeline.close();
  },
};

/* ---- For people ------------------------------------------------------------------------- */

function dollars(cents) {
  const whole = Math.floor(Math.abs(cents) / 100), rest = Math.abs(cents) % 100;
  const tail = rest ? `.${String(rest).padStart(2, "0")}` : "";
  return `${cents < 0 ? "-" : ""}$${whole.toLocaleString("en-US")}${tail}`;
}

function duration(ns) {
  if (ns < 999.5) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${Number((ns / 1e3).toPrecision(3))} µs`;
  if (ns < 999_500_000) return `${Number((ns / 1e6).toPrecision(3))} ms`;
  return `${Number((ns / 1e9).toPrecision(3))} s`;
}

function list(names) {
  if (names.length > 4) return `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  return names.join(names.length === 2 ? " and " : ", ");
}

const client = (call) => call.slice(0, call.lastIndexOf("#"));
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/* The first index whose time is later than `at`; the times ascend. */
function after(times, at) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

function element(kind, name, parent, properties = {}) {
  const made = document.createElement(kind);
  made.className = name;
  Object.assign(made, properties);
  parent.append(made);
  return made;
}

/* ---- The scene, as drawing needs it --------------------------------------------------------- */

class Scene {
  constructor(scene) {
    Object.assign(this, scene);
    const bars = scene.bars;
    this.length = Math.max(scene.length, 1);
    this.tops = [0];
    for (const rows of [...scene.rows, ...scene.servers.map(() => 1)]) {
      this.tops.push(this.tops.at(-1) + rows);
    }
    this.height = this.tops.at(-1); // in rows
    this.count = bars.start.length;
    this.start = Float64Array.from(bars.start);
    this.end = Float64Array.from(bars.end);
    this.kind = Uint8Array.from(bars.kind);
    this.row = Uint16Array.from(bars.row, (row, i) => this.tops[bars.lane[i]] + row);
    // The latest end so far: before the first that reaches past a time, nothing is in view.
    this.reach = Float64Array.from(this.end);
    for (let i = 1; i < this.count; i++) {
      this.reach[i] = Math.max(this.reach[i], this.reach[i - 1]);
    }
    this.byRow = Array.from({ length: this.height }, () => []);
    for (let i = 0; i < this.count; i++) this.byRow[this.row[i]].push(i);
    const moments = scene.moments;
    this.momentAt = Float64Array.from(moments.at);
    this.momentRow = Uint16Array.from(moments.row, (row, i) => this.tops[moments.lane[i]] + row);
    const place = ([lane, row]) => this.tops[lane] + row;
    this.wakes = scene.wakeUps.granted.map((granted, i) => ({
      from: place(scene.wakeUps.from[i]), released: scene.wakeUps.released[i],
      to: place(scene.wakeUps.to[i]), granted,
    }));
    this.wakeAt = Float64Array.from(scene.wakeUps.granted);
    this.signs = scene.marks.at.map((at, i) => ({
      at, kind: scene.marks.kind[i], words: scene.marks.words[i], told: scene.marks.told[i],
      row: place([scene.marks.lane[i], scene.marks.row[i]]),
    }));
    for (const sign of this.signs) { // until when its words may last
      const later = [
        ...this.byRow[sign.row].map((bar) => this.start[bar]),
        ...this.signs.filter((each) => each.row === sign.row).map((each) => each.at),
      ].filter((at) => at > sign.at);
      sign.until = later.reduce((one, other) => Math.min(one, other), Infinity);
    }
    this.lives = scene.serverSpans.start.map((start, i) => ({
      start, end: scene.serverSpans.end[i], kind: scene.serverSpans.kind[i],
      server: scene.serverSpans.server[i],
    }));
    this.losses = scene.lost.map((each) => ({
      ...each, lostRow: place(each.lost), byRow: place(each.by),
    }));
    this.stepAt = Float64Array.from(scene.steps.at);
    const { actual, expected } = scene.steps;
    this.isLossy = actual.some((cents, i) => cents !== expected[i]);
    const times = new Set([
      0, this.length, ...this.start, ...this.end, ...moments.at, ...scene.marks.at,
    ]);
    this.events = Float64Array.from([...times].sort((a, b) => a - b));
  }

  /* What the bank has at a time, and what it should have; nothing if nobody knows. */
  balance(at) {
    const step = after(this.stepAt, at) - 1;
    if (step < 0) return null;
    return { actual: this.steps.actual[step], expected: this.steps.expected[step] };
  }

  /* The least and the most that the bank has, or should have, between the two times. */
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

  /* The bars that have something between the two times. */
  between(from, to) {
    let first = 0, high = this.count;
    while (first < high) {
      const middle = (first + high) >> 1;
      if (this.reach[middle] >= from) high = middle;
      else first = middle + 1;
    }
    return [first, after(this.start, to)];
  }

  describe(bar) {
    const { bars, calls, methods } = this;
    const who = calls[bars.call[bar]];
    const long = duration(this.end[bar] - this.start[bar]);
    const where = bars.server[bar] ? ` at ${bars.server[bar]}` : "";
    const lines = [`${client(who)}: ${methods[bars.method[bar]]}${where}`];
    if (this.kind[bar] === WAITING) {
      lines.push(`waits ${long} for the lock, to ${bars.mode[bar]}`);
      const holders = [...new Set(bars.heldBy[bar].map((call) => client(calls[call])))];
      if (holders.length) lines.push(`held by ${list(holders)}`);
      if (bars.wokenBy[bar] >= 0) lines.push(`let in by ${client(calls[bars.wokenBy[bar]])}`);
    } else {
      lines.push(`${KINDS[this.kind[bar]]} for ${long}`);
      const said = this.during(bar).map((i) => this.say(i));
      if (said.length) lines.push(said.join(", "));
      for (const loss of this.losses) {
        const row = this.row[bar];
        if (loss.lostRow === row && this.holds(bar, loss.lostAt)) lines.push("✗ this was lost");
        if (loss.byRow === row && this.holds(bar, loss.wroteAt)) lines.push(`✗ ${loss.words}`);
      }
    }
    return lines.join("\n");
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

  say(moment) {
    const { isCommit, cents } = this.moments;
    return `${isCommit[moment] ? "wrote" : "read"} ${dollars(cents[moment])}`;
  }

  /* What happens at this very time, for who cannot see it. */
  happens(at) {
    const told = [];
    const [first, last] = this.between(at, at);
    for (let i = first; i < last; i++) {
      const who = client(this.calls[this.bars.call[i]]);
      if (this.start[i] === at) told.push(`${who} ${KINDS[this.kind[i]]}`);
      else if (this.end[i] === at && this.kind[i] !== WAITING) told.push(`${who} is done`);
    }
    for (let i = after(this.momentAt, at - 1); this.momentAt[i] <= at; i++) {
      told.push(`${this.clients[this.moments.lane[i]]} ${this.say(i)}`);
    }
    for (const sign of this.signs) if (sign.at === at) told.push(sign.told);
    for (const loss of this.losses) if (loss.wroteAt === at) told.push(`lost: ${loss.words}`);
    return told.length > 4 ? `${told.length} things happen` : told.join("; ");
  }
}

/* ---- The widget ----------------------------------------------------------------------------- */

class Timeline {
  constructor(parent, scene) {
    this.scene = new Scene(scene);
    this.at = this.scene.length; // all of it has happened, until somebody plays it
    this.from = 0;
    this.to = this.scene.length;
    this.playing = false;
    this.pointers = new Map();
    this.frames = 0;
    this.closing = new AbortController();
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.seconds = clamp(4 + this.scene.momentAt.length / 6, SHORTEST_PLAY, LONGEST_PLAY);
    this.build(parent);
    this.listen();
    this.resize();
  }

  build(parent) {
    const { scene } = this;
    this.root = element("div", "bankkit-timeline", parent);
    const { lost, ink, reading } = scene.colours;
    for (const [name, colour] of Object.entries({ lost, "on-lost": "black", focus: reading })) {
      this.root.style.setProperty(`--bk-${name}`, colour);
    }
    element("div", "bk-title", this.root, { textContent: scene.finding });
    this.signs = element("div", "bk-signs", this.root);
    this.now = element("div", "bk-now", this.root);
    const number = (label) => {
      const box = element("span", "", this.now, { textContent: `${label} ` });
      return element("b", "", box);
    };
    this.clock = number("time");
    if (scene.stepAt.length) {
      this.actual = number("balance");
      this.expected = number("expected");
    } else {
      element("span", "", this.now, { textContent: scene.trouble });
    }
    this.loss = element("span", "bk-loss", this.now, { hidden: true });
    this.plot = element("div", "bk-plot", this.root, { tabIndex: 0 });
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-roledescription", "timeline");
    this.plot.setAttribute(
      "aria-label",
      `${scene.line} Space plays, the arrows pan, plus and minus zoom, 0 shows all, ` +
        "brackets go from event to event, Home and End to the start and the end.",
    );
    this.still = element("canvas", "", this.plot);
    const pane = element("div", "bk-pane", this.plot);
    this.veil = element("div", "bk-veil", pane);
    this.veil.style.opacity = 1 - FAINT;
    this.canvas = element("canvas", "bk-moving", this.plot);
    for (const canvas of [this.still, this.canvas]) canvas.setAttribute("aria-hidden", "true");
    this.tip = element("div", "bk-tip", this.plot, { hidden: true });
    this.controls = element("div", "bk-controls", this.root);
    this.play = this.button("", "", () => this.toggle());
    this.play.classList.add("bk-play");
    this.slider = element("input", "", this.controls, {
      type: "range", min: "0", max: String(scene.length), step: "any",
      ariaLabel: "Time in the recording",
    });
    this.speed = element("select", "", this.controls, { ariaLabel: "Speed" });
    for (const [factor, words] of [[0.25, "¼ ×"], [0.5, "½ ×"], [1, "1 ×"], [2, "2 ×"], [4, "4 ×"]]) {
      const slower = (this.seconds * 1e9) / scene.length / factor;
      const real = slower >= 1 ? `${tidy(slower)}× slower` : `${tidy(1 / slower)}× faster`;
      element("option", "", this.speed, { value: factor, textContent: `${words}  (${real})` });
    }
    this.speed.value = "1";
    this.button("−", "Zoom out", () => this.zoom(1 / 1.6));
    this.button("+", "Zoom in", () => this.zoom(1.6));
    this.button("All", "Show all of it", () => this.show(0, scene.length));
    // Else keys pressed here would be JupyterLab's commands, such as to delete the cell.
    for (const each of [this.plot, ...this.controls.children]) {
      each.dataset.lmSuppressShortcuts = "true";
    }
    this.hint = element("div", "bk-hint", this.root);
    this.said = element("div", "bk-said", this.root, { ariaLive: "polite", role: "status" });
  }

  button(text, label, act) {
    const made = element("button", "", this.controls, { type: "button", textContent: text });
    if (label) {
      made.ariaLabel = label;
      made.title = label;
    }
    made.addEventListener("click", act, { signal: this.closing.signal });
    return made;
  }

  listen() {
    const { signal } = this.closing;
    const on = (target, kind, act, options = {}) =>
      target.addEventListener(kind, act, { signal, ...options });
    on(this.root, "keydown", (event) => this.onKey(event));
    on(this.slider, "input", () => {
      this.pause();
      this.go(Number(this.slider.value));
    });
    on(this.slider, "change", () => this.tell());
    on(this.canvas, "wheel", (event) => this.onWheel(event), { passive: false });
    on(this.canvas, "pointerdown", (event) => this.onDown(event));
    on(this.canvas, "pointermove", (event) => this.onMove(event));
    on(this.canvas, "pointerup", (event) => this.onUp(event));
    on(this.canvas, "pointercancel", (event) => this.pointers.delete(event.pointerId));
    on(this.canvas, "pointerleave", () => this.point(null));
    on(this.calm, "change", () => this.redraw());
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.dress());
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.root);
    this.themes = new MutationObserver(() => this.dress());
    const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class"];
    this.themes.observe(document.body, { attributes: true, attributeFilter });
  }

  close() {
    this.closing.abort();
    this.sizes.disconnect();
    this.themes.disconnect();
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    this.playing = false;
    this.redraw = () => {};
    this.root.remove();
  }

  /* -- Time ---------------------------------------------------------------------------------- */

  toggle() {
    if (this.playing) {
      this.pause();
      this.tell();
    } else {
      if (this.at >= this.scene.length) this.at = 0;
      this.playing = true;
      this.before = undefined;
      this.redraw();
    }
  }

  pause() {
    this.playing = false;
    this.redraw();
  }

  /* To a time, with the view moved along if it is out of sight. */
  go(at) {
    this.at = clamp(at, 0, this.scene.length);
    const width = this.to - this.from;
    if (this.at < this.from || this.at > this.to) {
      this.show(this.at - width * 0.1, this.at + width * 0.9);
    }
    this.redraw();
  }

  /* To the next event, or to the one before. */
  step(direction) {
    const { events } = this.scene;
    this.pause();
    const next = direction > 0 ? after(events, this.at) : after(events, this.at - 0.5) - 1;
    this.go(events[clamp(next, 0, events.length - 1)]);
    this.tell();
  }

  advance(now) {
    const passed = this.before === undefined ? 0 : (now - this.before) / 1000;
    if (this.calm.matches && this.before !== undefined && passed < CALM_STEP) return;
    this.before = now;
    const rate = (this.scene.length / this.seconds) * Number(this.speed.value);
    this.go(this.at + Math.min(passed, 1) * rate);
    if (this.at >= this.scene.length) {
      this.pause();
      this.tell();
    }
  }

  /* Say where we are to who cannot see it. */
  tell() {
    const { scene, at } = this;
    const parts = [`${duration(at)}.`];
    const happens = scene.happens(at);
    if (happens) parts.push(`${happens}.`);
    const balance = scene.balance(at);
    if (balance) {
      parts.push(`Balance ${dollars(balance.actual)}, expected ${dollars(balance.expected)}.`);
    }
    this.said.textContent = parts.join(" ");
  }

  /* -- What is in view ------------------------------------------------------------------------ */

  x(at) {
    return this.left + ((at - this.from) / (this.to - this.from)) * (this.width - this.left - RIGHT);
  }

  time(x) {
    return this.from + ((x - this.left) / (this.width - this.left - RIGHT)) * (this.to - this.from);
  }

  show(from, to) {
    const { length } = this.scene;
    const width = clamp(to - from, Math.min(200, length), length);
    this.from = clamp(from, 0, length - width);
    this.to = this.from + width;
    this.redrawAll();
  }

  zoom(factor, around = clamp(this.at, this.from, this.to)) {
    const width = (this.to - this.from) / factor;
    const share = (around - this.from) / (this.to - this.from);
    this.show(around - width * share, around + width * (1 - share));
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    this.show(this.from + by, this.to + by);
  }

  /* -- Keys and pointers ---------------------------------------------------------------------- */

  onKey(event) {
    const inPlot = event.target === this.plot;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      "[": () => this.step(-1),
      "]": () => this.step(1),
      "+": () => this.zoom(1.6),
      "=": () => this.zoom(1.6),
      "-": () => this.zoom(1 / 1.6),
      0: () => this.show(0, this.scene.length),
    };
    if (inPlot) {
      Object.assign(keys, {
        " ": () => this.toggle(),
        ArrowLeft: () => this.pan(-0.1),
        ArrowRight: () => this.pan(0.1),
        Home: () => this.jump(0),
        End: () => this.jump(this.scene.length),
      });
    }
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  }

  jump(at) {
    this.pause();
    this.go(at);
    this.tell();
  }

  /* The page scrolls under a wheel, unless somebody works with the timeline. */
  onWheel(event) {
    const isPinch = event.ctrlKey || event.metaKey;
    if (!isPinch && !this.root.contains(document.activeElement)) return;
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.pan((event.deltaX || event.deltaY) / 1000);
    } else {
      this.zoom(Math.exp(-event.deltaY / (isPinch ? 100 : 400)), this.time(event.offsetX));
    }
  }

  onDown(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.plot.focus({ preventScroll: true });
    this.pointers.set(event.pointerId, { x: event.offsetX, start: event.offsetX });
    this.scrubbing = event.offsetY > this.lanesHeight;
    if (this.scrubbing) {
      this.pause();
      this.go(this.time(event.offsetX));
    }
  }

  onMove(event) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) {
      this.point(event);
      return;
    }
    const before = [...this.pointers.values()].map((each) => each.x);
    pointer.x = event.offsetX;
    const now = [...this.pointers.values()].map((each) => each.x);
    if (now.length === 2) {
      const apart = Math.abs(now[0] - now[1]) / Math.max(Math.abs(before[0] - before[1]), 1);
      this.zoom(clamp(apart, 0.5, 2), this.time((now[0] + now[1]) / 2));
    } else if (this.scrubbing) {
      this.go(this.time(event.offsetX));
    } else {
      this.plot.classList.add("bk-dragging");
      this.pan((before[0] - now[0]) / (this.width - this.left - RIGHT));
    }
    this.point(null);
  }

  onUp(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    this.plot.classList.remove("bk-dragging");
    if (pointer && Math.abs(pointer.x - pointer.start) < 3) {
      this.pause();
      this.go(this.time(event.offsetX));
      this.point(event);
    }
    if (pointer && (this.scrubbing || Math.abs(pointer.x - pointer.start) < 3)) this.tell();
  }

  /* The numbers of what is under the pointer. */
  point(event) {
    const words = event && this.words(event.offsetX, event.offsetY);
    this.tip.hidden = !words;
    if (!words) return;
    this.tip.textContent = words;
    const { offsetWidth, offsetHeight } = this.tip;
    const x = event.offsetX + 14 + offsetWidth > this.width
      ? event.offsetX - offsetWidth - 10
      : event.offsetX + 14;
    this.tip.style.left = `${Math.max(x, 0)}px`;
    this.tip.style.top = `${clamp(event.offsetY + 14, 0, this.height - offsetHeight)}px`;
  }

  words(x, y) {
    const { scene } = this;
    if (x < this.left) return "";
    const at = this.time(x);
    if (y > this.lanesHeight) {
      const balance = scene.balance(at);
      if (!balance || at > scene.length) return "";
      const gone = balance.expected - balance.actual;
      const words = `${duration(at)}\nbalance ${dollars(balance.actual)}`;
      return gone ? `${words}\nexpected ${dollars(balance.expected)}\n${lossWords(gone)}` : words;
    }
    const slack = (3 * (this.to - this.from)) / (this.width - this.left);
    let best = -1, nearest = slack;
    const row = Math.floor(y / this.row);
    const sign = scene.signs.find((each) => each.row === row && Math.abs(each.at - at) < 2 * slack);
    if (sign) return `${sign.told}\n${duration(sign.at)}`;
    const server = row - scene.tops[scene.clients.length];
    const life = scene.lives.find(
      (each) => each.server === server && each.start <= at && at <= each.end,
    );
    if (life) return this.lifeWords(life);
    for (const bar of scene.byRow[row] ?? []) {
      const off = Math.max(scene.start[bar] - at, at - scene.end[bar], 0);
      // Of two that touch, the one that holds the lock.
      if (off < nearest || (off === nearest && scene.kind[bar] !== WAITING)) {
        best = bar;
        nearest = off;
      }
    }
    return best < 0 ? "" : scene.describe(best);
  }

  lifeWords({ server, kind, start, end }) {
    const does = { up: "runs", paused: "is paused", down: "is gone" }[kind];
    return `${this.scene.servers[server]} ${does}\n${duration(end - start)}`;
  }

  /* -- Drawing -------------------------------------------------------------------------------- */

  resize() {
    const width = Math.floor(this.root.clientWidth - 20);
    if (width < 50 || width === this.width) return;
    this.width = width;
    this.row = clamp(460 / this.scene.height, 13, 52);
    this.lanesHeight = Math.round(this.scene.height * this.row);
    this.height = this.lanesHeight + GAP + BALANCE + AXIS;
    const ratio = window.devicePixelRatio || 1;
    const prepared = (canvas) => {
      canvas.style.width = `${width}px`;
      canvas.style.height = `${this.height}px`;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(this.height * ratio);
      const brush = canvas.getContext("2d");
      brush.setTransform(ratio, 0, 0, ratio, 0, 0);
      return brush;
    };
    this.brush = prepared(this.canvas);
    this.behind = prepared(this.still);
    this.dress();
    this.brush.font = this.font(12);
    const places = this.scene.clients.map((_, lane) => this.place(lane));
    const widest = Math.max(
      ...[...this.names(), ...places].map((name) => this.brush.measureText(name).width),
    );
    this.left = Math.ceil(clamp(widest + 12, 64, width * 0.25));
    const pane = this.veil.parentNode.style;
    pane.left = `${this.left}px`;
    pane.width = `${width - this.left}px`;
    pane.height = `${this.height - AXIS}px`;
    this.redrawAll();
  }

  font(size) {
    return `${size}px ${this.family}`;
  }

  names() {
    const { clients, servers } = this.scene;
    return [...clients, ...servers].map((name) => this.short(name));
  }

  short(name) {
    return name.length > 16 ? `${name.slice(0, 15)}…` : name;
  }

  /* At which server a client's calls were, below its name, if at one and if there is room. */
  place(lane) {
    const [server, other] = this.scene.servedBy[lane] ?? [];
    return server && !other && this.row >= 30 ? `at ${this.short(server)}` : "";
  }

  /* Take the colours of the theme. */
  dress() {
    if (!this.brush) return;
    const style = getComputedStyle(this.root);
    this.ink = style.color;
    this.paper = style.backgroundColor;
    this.family = style.fontFamily;
    const [red, green, blue] = this.paper.match(/[\d.]+/g).map(Number);
    this.isDark = 0.3 * red + 0.59 * green + 0.11 * blue < 128;
    this.hatch = this.pattern(this.ink, (brush) => slant(brush, 6, 0));
    this.crosses = this.pattern(this.scene.colours.ink, (brush) => {
      slant(brush, 6, 0);
      slant(brush, 0, 6);
    });
    this.stripes = this.pattern(this.ink, (brush) => {
      brush.moveTo(3, 0);
      brush.lineTo(3, 6);
    });
    this.dots = this.pattern(this.ink, (brush) => {
      brush.moveTo(3, 2);
      brush.lineTo(3, 4);
    });
    this.drawSigns();
    this.redrawAll();
  }

  pattern(colour, draw) {
    const tile = Object.assign(document.createElement("canvas"), { width: 6, height: 6 });
    const brush = tile.getContext("2d");
    brush.strokeStyle = colour;
    brush.globalAlpha = 0.75;
    brush.lineWidth = 1;
    brush.beginPath();
    draw(brush);
    brush.stroke();
    return this.brush.createPattern(tile, "repeat");
  }

  /* Ask for a picture before the next frame; many who ask get one. */
  redraw() {
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = undefined;
      if (this.playing) this.advance(now);
      this.draw();
      if (this.playing) this.redraw();
    });
  }

  /* The same, when also what stands still has changed. */
  redrawAll() {
    this.isStale = true;
    this.redraw();
  }

  draw() {
    const { brush, width, height } = this;
    if (!brush) return;
    if (this.isStale) {
      this.isStale = false;
      this.range = this.scene.range(this.from, this.to);
      this.drawBehind(this.behind);
    }
    const head = clamp(this.x(this.at) - this.left, 0, width);
    this.veil.style.transform = `translateX(${head}px)`;
    brush.globalAlpha = 1;
    brush.clearRect(0, 0, width, height);
    brush.save();
    brush.beginPath();
    brush.rect(this.left, 0, width - this.left, height);
    brush.clip();
    this.outlineActive();
    const hidden = this.drawWakes();
    const unseen = this.drawMoments();
    this.drawLosses();
    this.drawMarks();
    this.drawPlayhead();
    brush.restore();
    this.report(hidden, unseen);
  }

  drawBehind(brush) {
    const { scene } = this;
    brush.globalAlpha = 1;
    brush.clearRect(0, 0, this.width, this.height);
    brush.fillStyle = this.ink;
    brush.globalAlpha = 0.06;
    for (let lane = 0; lane < scene.tops.length - 1; lane += 2) {
      const top = scene.tops[lane] * this.row, bottom = scene.tops[lane + 1] * this.row;
      brush.fillRect(this.left, top, this.width - this.left, bottom - top);
    }
    brush.globalAlpha = 1;
    brush.font = this.font(Math.min(12, this.row - 1));
    brush.textAlign = "right";
    brush.textBaseline = "middle";
    this.names().forEach((name, lane) => {
      const middle = ((scene.tops[lane] + scene.tops[lane + 1]) / 2) * this.row;
      const place = this.place(lane);
      brush.fillText(name, this.left - 6, middle - (place ? 7 : 0), this.left - 8);
      if (place) brush.fillText(place, this.left - 6, middle + 8, this.left - 8);
    });
    this.drawAxes(brush);
    brush.save();
    brush.beginPath();
    brush.rect(this.left, 0, this.width - this.left, this.height);
    brush.clip();
    this.drawLives(brush);
    this.drawBars(brush);
    this.drawBalance(brush);
    brush.restore();
  }

  middle(row) {
    return (row + 0.5) * this.row;
  }

  /* When each server ran: a line while it runs, a box while it is paused, else nothing. */
  drawLives(brush) {
    const { scene } = this;
    for (const { server, kind, start, end } of scene.lives) {
      if (kind === "down") continue;
      const x0 = this.x(start), x1 = Math.max(this.x(end), x0 + 1);
      const height = SERVER_HEIGHTS[kind] * this.row;
      const y = this.middle(scene.tops[scene.clients.length] + server) - height / 2;
      brush.globalAlpha = kind === "up" ? 0.35 : 1;
      brush.fillStyle = kind === "up" ? this.ink : this.stripes;
      brush.fillRect(x0, y, x1 - x0, height);
      if (kind === "up") continue;
      brush.strokeStyle = this.ink;
      brush.lineWidth = 0.7;
      brush.strokeRect(x0, y, x1 - x0, height);
    }
    brush.globalAlpha = 1;
  }

  drawBars(brush) {
    const { scene, from, left, row } = this;
    const [first, last] = scene.between(from, this.to);
    const perPixel = (this.width - left - RIGHT) / (this.to - from);
    const boxes = [...KINDS.map(() => []), []]; // the last: of waits with no room for a hatch
    const plain = boxes.length - 1;
    const drawn = boxes.map(() => new Float64Array(scene.height)); // no pixel is drawn twice
    const edges = [];
    for (let i = first; i < last; i++) {
      const kind = scene.kind[i], line = scene.row[i];
      const start = left + (scene.start[i] - from) * perPixel;
      const end = Math.max(left + (scene.end[i] - from) * perPixel, start + 1);
      const isNarrow = end - start < NARROW;
      const look = kind === WAITING && isNarrow ? plain : kind;
      const x0 = Math.max(start, left - 4, drawn[look][line]);
      const x1 = Math.min(end, this.width + 4);
      if (x1 - x0 < 0.2) continue;
      drawn[look][line] = x1;
      const height = this.tall(kind), y = (line + 0.5) * row - height / 2;
      boxes[look].push(x0, y, x1 - x0, height);
      if (!isNarrow) edges.push(x0, y, x1 - x0, height);
    }
    const looks = [...this.looks(), [this.ink]];
    for (const look of [WAITING, plain, READING, WRITING, HALTED, STALE]) {
      brush.globalAlpha = look === plain ? 0.28 : 1;
      const box = boxes[look];
      for (const layer of looks[look]) {
        brush.fillStyle = layer;
        for (let i = 0; i < box.length; i += 4) {
          brush.fillRect(box[i], box[i + 1], box[i + 2], box[i + 3]);
        }
      }
    }
    brush.strokeStyle = this.ink;
    brush.globalAlpha = 0.6;
    brush.lineWidth = 0.7;
    brush.beginPath();
    for (let i = 0; i < edges.length; i += 4) {
      brush.rect(edges[i], edges[i + 1], edges[i + 2], edges[i + 3]);
    }
    brush.stroke();
  }

  /* What the bars of each kind are filled with, one over the other. */
  looks() {
    const { reading, writing } = this.scene.colours;
    return [[this.hatch], [reading], [writing], [writing, this.crosses], [this.dots]];
  }

  tall(kind) {
    return Math.max(HEIGHTS[kind] * this.row, 3);
  }

  /* Who waits, reads or writes at this moment. */
  outlineActive() {
    const { brush, scene, at } = this;
    if (at >= scene.length) return;
    brush.strokeStyle = this.ink;
    brush.globalAlpha = 1;
    brush.lineWidth = 2;
    brush.beginPath();
    const [first, last] = scene.between(at, at);
    for (let i = first; i < last; i++) {
      if (at >= scene.end[i]) continue;
      const x0 = Math.max(this.x(scene.start[i]), this.left - 4), x1 = this.x(at);
      if (x1 - x0 < NARROW / 2) continue;
      const height = this.tall(scene.kind[i]);
      brush.rect(x0, this.middle(scene.row[i]) - height / 2, x1 - x0, height);
    }
    brush.stroke();
  }

  /* How brightly something shines that happened at a time: from 1, just now, to 0. */
  glow(at) {
    if (!this.playing || this.calm.matches || at > this.at) return 0;
    const rate = (this.scene.length / this.seconds / 1000) * Number(this.speed.value);
    return clamp(1 - (this.at - at) / (rate * GLOW_MS), 0, 1);
  }

  /* From a release to whom it let in. Returns how many there was no room for. */
  drawWakes() {
    const { brush, scene } = this;
    const first = after(scene.wakeAt, this.from - 1);
    const last = after(scene.wakeAt, Math.min(this.to, this.at));
    const all = after(scene.wakeAt, this.to) - first;
    brush.strokeStyle = brush.fillStyle = this.isDark
      ? scene.colours.wakeOnDark
      : scene.colours.wake;
    let drawn = 0;
    for (let i = first; i < last; i++) {
      const { from, released, to, granted } = scene.wakes[i];
      const glow = this.glow(granted);
      if (from === to || (all > MAX_ARROWS && !glow)) continue;
      drawn += 1;
      brush.globalAlpha = 0.9;
      brush.lineWidth = 1.2 + 2 * glow;
      const down = to > from ? 1 : -1;
      const reach = (HEIGHTS[READING] / 2) * this.row * down;
      const y0 = this.middle(from) + reach * 0.8;
      this.arrow(this.x(released), y0, this.x(granted), this.middle(to) - reach, 5);
    }
    return all > MAX_ARROWS ? last - first - drawn : 0;
  }

  arrow(x0, y0, x1, y1, size) {
    const { brush } = this;
    const turn = Math.atan2(y1 - y0, x1 - x0);
    brush.beginPath();
    brush.moveTo(x0, y0);
    brush.lineTo(x1 - Math.cos(turn) * size, y1 - Math.sin(turn) * size);
    brush.stroke();
    brush.beginPath();
    brush.moveTo(x1, y1);
    for (const side of [-0.42, 0.42]) {
      brush.lineTo(x1 - Math.cos(turn + side) * size * 1.6, y1 - Math.sin(turn + side) * size * 1.6);
    }
    brush.fill();
  }

  /* Reads and commits. Returns how many there was no room for. */
  drawMoments() {
    const { brush, scene } = this;
    const first = after(scene.momentAt, this.from - 1);
    const last = after(scene.momentAt, this.to);
    const crowded = last - first > MAX_MOMENTS;
    const radius = clamp(this.row * 0.13, 2.5, 4.5);
    const { ink } = scene.colours;
    let left = 0;
    for (let i = first; i < last; i++) {
      const at = scene.momentAt[i];
      const glow = this.glow(at);
      if (crowded && !glow) {
        left += 1;
        continue;
      }
      const x = this.x(at), y = this.middle(scene.momentRow[i]);
      brush.globalAlpha = at <= this.at ? 1 : FAINT;
      if (glow) {
        brush.globalAlpha = glow;
        brush.strokeStyle = this.ink;
        brush.lineWidth = 2;
        brush.beginPath();
        brush.arc(x, y, radius + (1 - glow) * 14, 0, 7);
        brush.stroke();
        brush.globalAlpha = 1;
      }
      brush.fillStyle = scene.moments.isCommit[i] ? ink : "white";
      brush.strokeStyle = scene.moments.isCommit[i] ? "white" : ink;
      brush.lineWidth = 1;
      brush.beginPath();
      brush.arc(x, y, radius, 0, 7);
      brush.fill();
      brush.stroke();
    }
    if (this.row >= 20 && last - first < 150) this.drawAmounts(first, last);
    return left;
  }

  /* What was read and written, where there is room for it within the bar. */
  drawAmounts(first, last) {
    const { brush, scene } = this;
    brush.font = this.font(12);
    brush.textBaseline = "middle";
    brush.fillStyle = scene.colours.ink;
    const ends = new Float64Array(scene.height).fill(-1e9); // up to where a row is written full
    for (let i = first; i < last; i++) {
      if (scene.momentAt[i] > this.at) continue;
      const row = scene.momentRow[i], x = this.x(scene.momentAt[i]);
      const bar = scene.byRow[row].find(
        (each) => scene.kind[each] !== WAITING && scene.holds(each, scene.momentAt[i]),
      );
      if (bar === undefined) continue;
      const words = scene.say(i), width = brush.measureText(words).width;
      const toLeft = scene.moments.isCommit[i];
      const x0 = toLeft ? x - width - 9 : x + 9;
      const next = toLeft ? x : this.x(this.nextIn(i, bar));
      const start = Math.max(this.x(scene.start[bar]), this.left);
      if (x0 < Math.max(start, ends[row]) + 4 || x0 + width > next - 6) continue;
      ends[row] = x0 + width;
      brush.globalAlpha = 1;
      brush.textAlign = "left";
      brush.fillText(words, x0, this.middle(row) + 0.5);
    }
  }

  /* When the next thing happens within a bar, or it ends. */
  nextIn(moment, bar) {
    const later = this.scene.during(bar).find((i) => i > moment);
    return Math.min(
      later === undefined ? Infinity : this.scene.momentAt[later],
      this.scene.end[bar],
      this.at,
    );
  }

  /* A cross where an update was lost, and from the stale read to the commit over it an arrow. */
  drawLosses() {
    const { brush, scene, at } = this;
    const inView = scene.losses.filter((each) => each.readAt <= this.to && each.wroteAt >= this.from);
    brush.strokeStyle = brush.fillStyle = scene.colours.lost;
    for (const { lostRow, lostAt, byRow, readAt, wroteAt } of inView) {
      const done = at >= wroteAt;
      if (!done && (at < lostAt || at < readAt || inView.length > MAX_ARROWS)) continue;
      const stale = this.x(readAt), over = this.x(Math.min(at, wroteAt));
      const y = this.middle(byRow);
      brush.globalAlpha = 1;
      brush.lineWidth = 2 + 2 * this.glow(wroteAt);
      if (inView.length <= MAX_ARROWS && over - stale > 8) {
        const top = y - 0.45 * this.row;
        brush.setLineDash(done ? [] : [3, 3]);
        brush.beginPath();
        brush.moveTo(stale, y - 4);
        brush.lineTo(stale, top);
        brush.lineTo(over, top);
        brush.stroke();
        brush.setLineDash([]);
        if (done) this.arrow(over, top, over, y - 3, 5);
      }
      if (!done) continue;
      if (inView.length <= MAX_ARROWS && byRow !== lostRow) {
        brush.setLineDash([3, 2]);
        brush.lineWidth = 1.5;
        brush.beginPath();
        brush.moveTo(this.x(lostAt), this.middle(lostRow));
        brush.lineTo(over, y);
        brush.stroke();
        brush.setLineDash([]);
      }
    }
    for (const { lostRow, lostAt, wroteAt } of inView) {
      if (at >= wroteAt) {
        this.cross(this.x(lostAt), this.middle(lostRow), clamp(this.row * 0.18, 3.5, 7));
      }
    }
  }

  /* The faults of servers and calls, with words where there is room for them. */
  drawMarks() {
    const { brush, scene } = this;
    const size = clamp(this.row * 0.16, 3, 7);
    brush.font = this.font(12);
    brush.textBaseline = "middle";
    brush.textAlign = "left";
    for (const { at, until, kind, words, row } of scene.signs) {
      if (at < this.from || at > this.to) continue;
      const x = this.x(at), y = this.middle(row);
      brush.globalAlpha = at <= this.at ? 1 : FAINT;
      this.mark(brush, kind, x, y, size + 4 * this.glow(at));
      const width = brush.measureText(words).width;
      const room = Math.min(this.x(until), this.width - 4);
      if (at > this.at || this.row < 20 || x + width + 22 > room) continue;
      brush.fillStyle = this.paper;
      brush.fillRect(x + 10, y - 8, width + 6, 16);
      brush.fillStyle = this.ink;
      brush.fillText(words, x + 13, y + 0.5);
    }
    brush.globalAlpha = 1;
  }

  /* A sign of its own shape for each kind. */
  mark(brush, kind, x, y, size) {
    const outline = (...points) => {
      brush.beginPath();
      for (const [dx, dy] of points) brush.lineTo(x + dx * size, y + dy * size);
      brush.closePath();
    };
    brush.strokeStyle = this.ink;
    brush.fillStyle = this.paper;
    brush.lineWidth = 1.2;
    if (kind === "killed") {
      brush.lineWidth = size / 2;
      brush.beginPath();
      for (const side of [-1, 1]) {
        brush.moveTo(x - size, y - side * size);
        brush.lineTo(x + size, y + side * size);
      }
      brush.stroke();
      return;
    }
    if (kind === "unknown") {
      brush.font = `bold ${this.font(Math.round(size * 2.6))}`;
      brush.textAlign = "center";
      brush.lineWidth = 3;
      brush.strokeStyle = this.paper;
      brush.strokeText("?", x, y);
      brush.fillStyle = this.ink;
      brush.fillText("?", x, y);
      brush.textAlign = "left";
      brush.font = this.font(12);
      return;
    }
    if (kind === "paused") {
      outline([-1, -1], [1, -1], [1, 1], [-1, 1]);
    } else if (kind === "expired") {
      outline([0, -1.3], [0.8, 0], [0, 1.3], [-0.8, 0]);
    } else if (kind === "fenced") {
      outline([-0.6, -1], [0.6, -1], [1.2, 0], [0.6, 1], [-0.6, 1], [-1.2, 0]);
      brush.fillStyle = this.scene.colours.fenced;
    } else {
      outline([-0.9, -1.1], [1.2, 0], [-0.9, 1.1]);
      brush.fillStyle = this.isDark ? this.scene.colours.wakeOnDark : this.scene.colours.wake;
    }
    brush.fill();
    brush.stroke();
  }

  cross(x, y, size, brush = this.brush) {
    for (const [colour, width] of [["black", 5.5], ["white", 4], [this.scene.colours.lost, 2.5]]) {
      brush.strokeStyle = colour;
      brush.lineWidth = (width * size) / 5;
      brush.beginPath();
      brush.moveTo(x - size, y - size);
      brush.lineTo(x + size, y + size);
      brush.moveTo(x - size, y + size);
      brush.lineTo(x + size, y - size);
      brush.stroke();
    }
  }

  money(cents) {
    const [low, high] = this.range;
    const bottom = this.lanesHeight + GAP + BALANCE - 8, room = BALANCE - 20;
    return bottom - (high === low ? 0.5 : (cents - low) / (high - low)) * room;
  }

  drawBalance(brush) {
    const { scene } = this;
    if (!scene.stepAt.length) return;
    const { actual, expected } = scene.steps;
    const first = Math.max(after(scene.stepAt, this.from) - 1, 0);
    const last = after(scene.stepAt, this.to);
    const line = (values) => {
      const path = new Path2D();
      let y = this.money(values[first]), seen = -1;
      path.moveTo(this.x(Math.max(scene.stepAt[first], this.from)), y);
      for (let i = first + 1; i < last; i++) {
        const x = this.x(scene.stepAt[i]);
        if (x - seen < 0.5 && i < last - 1) continue;
        path.lineTo(x, y);
        y = this.money(values[i]);
        path.lineTo(x, y);
        seen = x;
      }
      path.lineTo(this.x(Math.min(scene.length, this.to)), y);
      return path;
    };
    if (scene.isLossy) {
      brush.fillStyle = scene.colours.lost;
      brush.globalAlpha = 0.25;
      for (let i = first; i < last; i++) {
        if (actual[i] === expected[i]) continue;
        const from = this.x(scene.stepAt[i]);
        const to = this.x(i + 1 < scene.stepAt.length ? scene.stepAt[i + 1] : scene.length);
        const low = this.money(actual[i]);
        brush.fillRect(from, low, to - from, this.money(expected[i]) - low);
      }
      brush.globalAlpha = 1;
      brush.strokeStyle = scene.colours.expected;
      brush.lineWidth = 2;
      brush.setLineDash([6, 4]);
      brush.stroke(line(expected));
      brush.setLineDash([]);
    }
    brush.globalAlpha = 1;
    brush.strokeStyle = this.ink;
    brush.lineWidth = 2;
    brush.stroke(line(actual));
  }

  drawPlayhead() {
    const { brush } = this;
    if (this.at < this.from || this.at > this.to) return;
    const x = this.x(this.at);
    brush.globalAlpha = 1;
    brush.strokeStyle = brush.fillStyle = this.ink;
    brush.lineWidth = 1.5;
    brush.beginPath();
    brush.moveTo(x, 0);
    brush.lineTo(x, this.height - AXIS);
    brush.stroke();
    brush.beginPath();
    brush.moveTo(x, this.height - AXIS);
    brush.lineTo(x - 6, this.height - AXIS + 8);
    brush.lineTo(x + 6, this.height - AXIS + 8);
    brush.fill();
    const balance = this.scene.balance(this.at);
    if (!balance) return;
    const points = [[balance.actual, this.ink], [balance.expected, this.scene.colours.expected]];
    for (const [cents, colour] of points.reverse()) {
      brush.fillStyle = colour;
      brush.beginPath();
      brush.arc(x, this.money(cents), 4, 0, 7);
      brush.fill();
    }
  }

  drawAxes(brush) {
    const { scene } = this;
    const base = this.height - AXIS;
    brush.globalAlpha = 0.7;
    brush.strokeStyle = brush.fillStyle = this.ink;
    brush.lineWidth = 1;
    brush.beginPath();
    brush.moveTo(this.left, base);
    brush.lineTo(this.width - RIGHT, base);
    const width = this.to - this.from;
    const tick = roundUp((width / (this.width - this.left)) * 90);
    brush.font = this.font(12);
    brush.textAlign = "center";
    brush.textBaseline = "top";
    brush.globalAlpha = 0.9;
    const [unit, divisor] = this.to < 2e6 ? ["µs", 1e3] : this.to < 2e9 ? ["ms", 1e6] : ["s", 1e9];
    const digits = Math.max(0, -Math.floor(Math.log10(tick / divisor)));
    for (let at = Math.ceil(this.from / tick) * tick; at <= this.to; at += tick) {
      const x = this.x(at);
      brush.moveTo(x, base);
      brush.lineTo(x, base + 4);
      const words = `${(at / divisor).toFixed(digits)} ${unit}`;
      const half = brush.measureText(words).width / 2;
      brush.fillText(words, clamp(x, this.left + half, this.width - half), base + 12);
    }
    if (scene.stepAt.length) {
      brush.textAlign = "right";
      brush.textBaseline = "middle";
      for (const cents of new Set(this.range)) {
        const y = this.money(cents);
        brush.moveTo(this.left - 4, y);
        brush.lineTo(this.left, y);
        brush.fillText(dollars(cents), this.left - 7, y, this.left - 8);
      }
    }
    brush.stroke();
  }

  /* What the page says beside the canvas. */
  report(hidden, unseen) {
    const { scene, at } = this;
    write(this.clock, duration(at));
    const balance = scene.balance(at);
    if (balance) {
      const gone = balance.expected - balance.actual;
      write(this.actual, dollars(balance.actual));
      write(this.expected, dollars(balance.expected));
      write(this.loss, gone ? lossWords(gone) : "");
      this.loss.hidden = !gone;
    }
    write(this.play, this.playing ? "❚❚ Pause" : "▶ Play");
    if (document.activeElement !== this.slider || this.playing) this.slider.value = at;
    const spoken = `${duration(at)} of ${duration(scene.length)}`;
    if (!this.playing) this.slider.setAttribute("aria-valuetext", spoken);
    const more = [];
    if (hidden) more.push(`${hidden} arrows`);
    if (unseen) more.push(`${unseen} reads or commits`);
    const hints = [
      scene.leftOut ? `${scene.leftOut} more clients are not shown.` : "",
      more.length ? `Zoom in to see ${more.join(" and ")}.` : "",
      "Click it, then: space plays, wheel or + − zoom, drag or ← → pan, [ ] step.",
    ];
    write(this.hint, hints.filter(Boolean).join(" "));
    this.frames += 1;
    Object.assign(this.root.dataset, {
      frames: this.frames, at: Math.round(at), playing: this.playing, length: scene.length,
      viewStart: Math.round(this.from), viewEnd: Math.round(this.to),
    });
  }

  /* The signs above the lanes, and what they mean: only those that are used. */
  drawSigns() {
    const { scene } = this;
    this.signs.replaceChildren();
    const sign = (words, width, draw) => {
      const box = element("span", "", this.signs);
      const canvas = element("canvas", "", box, { width: width * 2, height: 36 });
      canvas.style.width = `${width}px`;
      canvas.style.height = "18px";
      canvas.setAttribute("aria-hidden", "true");
      box.append(words);
      const brush = canvas.getContext("2d");
      brush.scale(2, 2);
      brush.strokeStyle = brush.fillStyle = this.ink;
      draw(brush);
    };
    const kinds = new Set(scene.kind);
    const looks = this.looks();
    KINDS.forEach((words, kind) => {
      if (!kinds.has(kind)) return;
      sign(words, 30, (brush) => {
        const height = HEIGHTS[kind] * 22;
        for (const layer of looks[kind]) {
          brush.fillStyle = layer;
          brush.fillRect(1, 9 - height / 2, 28, height);
        }
        brush.lineWidth = 0.7;
        brush.strokeRect(1, 9 - height / 2, 28, height);
      });
    });
    const dot = (fill) => (brush) => {
      brush.fillStyle = fill;
      brush.beginPath();
      brush.arc(6, 9, 4, 0, 7);
      brush.fill();
      brush.stroke();
    };
    if (scene.momentAt.length) sign("balance read", 12, dot("white"));
    if (scene.moments.isCommit.includes(1)) sign("balance written", 12, dot(scene.colours.ink));
    const line = (colour, dash = []) => (brush) => {
      brush.strokeStyle = brush.fillStyle = colour;
      brush.lineWidth = 2;
      brush.setLineDash(dash);
      brush.beginPath();
      brush.moveTo(1, 9);
      brush.lineTo(dash.length ? 29 : 22, 9);
      brush.stroke();
      if (dash.length) return;
      brush.beginPath();
      brush.moveTo(29, 9);
      brush.lineTo(20, 5);
      brush.lineTo(20, 13);
      brush.fill();
    };
    const { wake, wakeOnDark, lost, expected } = scene.colours;
    if (scene.wakes.length) sign("lets in", 30, line(this.isDark ? wakeOnDark : wake));
    if (scene.losses.length) {
      sign("lost", 18, (brush) => this.cross(9, 9, 5, brush));
      sign("from a stale read", 30, line(lost));
      sign("expected", 30, line(expected, [5, 4]));
    }
    const told = new Map(scene.signs.map(({ kind, words }) => [kind, words]));
    for (const [kind, words] of told) {
      sign(words, 18, (brush) => this.mark(brush, kind, 9, 9, 5));
    }
  }
}

/* Lines from one height to another in a tile of 6 × 6 that fit where tiles meet. */
function slant(brush, from, to) {
  for (const off of [-6, 0, 6]) {
    brush.moveTo(off, from);
    brush.lineTo(off + 6, to);
  }
}

function lossWords(gone) {
  return `✗ ${dollars(Math.abs(gone))} ${gone > 0 ? "lost" : "too much"}`;
}

function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function tidy(number) {
  return Number(number.toPrecision(2)).toLocaleString("en-US");
}

/* The next of 1, 2, 5, 10, 20, 50 … */
function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= number);
}

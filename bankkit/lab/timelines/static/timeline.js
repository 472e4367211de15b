/* The live timeline of a race: play it, zoom, pan, point at things.

   Python sends one scene (scene.py); from then on everything happens here. Times are whole
   nanoseconds from the start of the recording, money is in cents. A widget takes a single module,
   so es_modules.py joins this file with the files beside it.

   Nothing is drawn while nothing changes. Playback draws only the moving parts again; a change of
   the view draws everything again. */

import { drawLosses, drawWakeUps } from "./arrows.js";
import { drawAxes, drawLanes } from "./axes.js";
import { drawBalance } from "./balance.js";
import { drawBars, drawServers, outlineActive } from "./bars.js";
import { drawFaults } from "./faults.js";
import { commandOf, ZOOM } from "./keyboard.js";
import { labelColumn, Layout } from "./layout.js";
import { drawLegend } from "./legend.js";
import { drawMoments } from "./moments.js";
import { spokenWords } from "./narration.js";
import { clamp } from "./numbers.js";
import { Page } from "./page.js";
import { Playback } from "./playback.js";
import { drawPlayhead } from "./playhead.js";
import { Pointers } from "./pointers.js";
import { TimeScale } from "./scale.js";
import { Scene } from "./scene.js";
import { Theme } from "./theme.js";
import { Tooltip } from "./tooltip.js";

const MIN_WIDTH = 50; // pixels; a narrower page is not shown yet

export default {
  render({ model, el }) {
    const timeline = new Timeline(el, model.get("scene"));
    return () => timeline.close();
  },
};

class Timeline {
  constructor(parent, scene) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.closing = new AbortController();
    this.scene = new Scene(scene);
    this.scale = new TimeScale(this.scene.length);
    this.layout = new Layout(this.scene);
    this.theme = new Theme(scene.colours);
    this.playback = new Playback(this.scene.length, this.scene.momentAt.length, calm);
    this.page = new Page(parent, this.scene, this.playback);
    this.tooltip = new Tooltip(this.page.plot);
    this.pointers = new Pointers(this);
    this.listen(calm);
    this.resize();
  }

  /* Adds a listener that is removed when the timeline is closed. */
  on(target, kind, act, options = {}) {
    target.addEventListener(kind, act, { signal: this.closing.signal, ...options });
  }

  listen(calm) {
    const { root, plot, play, slider, speed, zoomOut, zoomIn, all } = this.page;
    this.on(root, "keydown", (event) => {
      const [command, ...values] = commandOf(event, event.target === plot) ?? [];
      if (!command) return;
      event.preventDefault();
      this[command](...values);
    });
    this.on(play, "click", () => this.toggle());
    this.on(zoomOut, "click", () => this.zoom(1 / ZOOM));
    this.on(zoomIn, "click", () => this.zoom(ZOOM));
    this.on(all, "click", () => this.showAll());
    this.on(speed, "change", () => {
      this.playback.speed = Number(speed.value);
    });
    this.on(slider, "input", () => {
      this.pause();
      this.go(Number(slider.value));
    });
    this.on(slider, "change", () => this.tell());
    this.on(calm, "change", () => this.redraw());
    this.on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.dress());
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(root);
    this.themes = new MutationObserver(() => this.dress());
    const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class"];
    this.themes.observe(document.body, { attributes: true, attributeFilter });
  }

  close() {
    this.closing.abort();
    this.sizes.disconnect();
    this.themes.disconnect();
    cancelAnimationFrame(this.frame);
    this.page.root.remove();
  }

  /* -- Moving through time ------------------------------------------------------------------- */

  toggle() {
    if (this.playback.playing) {
      this.pause();
      this.tell();
    } else {
      this.playback.start();
      this.redraw();
    }
  }

  pause() {
    this.playback.pause();
    this.redraw();
  }

  /* Goes to a time, and moves the view if the time is outside it. */
  go(at) {
    this.playback.go(at);
    this.follow();
  }

  follow() {
    if (this.scale.follow(this.playback.at)) this.redrawAll();
    else this.redraw();
  }

  /* Goes to the next event, or to the previous one. */
  step(direction) {
    this.jump(this.scene.eventBeside(this.playback.at, direction));
  }

  jump(at) {
    this.pause();
    this.go(at);
    this.tell();
  }

  /* Tells a screen reader the current time and balance. */
  tell() {
    this.page.said.textContent = spokenWords(this.scene, this.playback.at);
  }

  /* -- The view ------------------------------------------------------------------------------- */

  showAll() {
    this.scale.show(0, this.scene.length);
    this.redrawAll();
  }

  zoom(factor, around = clamp(this.playback.at, this.scale.from, this.scale.to)) {
    this.scale.zoom(factor, around);
    this.redrawAll();
  }

  pan(share) {
    this.scale.pan(share);
    this.redrawAll();
  }

  resize() {
    const { page, scale, layout, theme } = this;
    const width = Math.floor(page.root.clientWidth - 20); // without its padding
    if (width < MIN_WIDTH || width === scale.width) return;
    scale.width = width;
    [this.stillBrush, this.brush] = page.resize(width, layout.height);
    this.dress();
    this.brush.font = theme.font(12);
    const labels = layout.labels().flatMap(({ name, place }) => [name, place]);
    const widths = labels.map((label) => this.brush.measureText(label).width);
    scale.left = labelColumn(Math.max(...widths), width);
    page.placeVeil(scale.left, width - scale.left, layout.base);
    this.redrawAll();
  }

  /* Applies the colours of the page's theme. */
  dress() {
    if (!this.brush) return;
    this.theme.read(this.page.root, this.brush);
    drawLegend(this.page.legend, this);
    this.redrawAll();
  }

  /* -- Drawing -------------------------------------------------------------------------------- */

  /* Requests one drawing for the next frame, however many calls there are before it. */
  redraw() {
    if (this.closing.signal.aborted) return;
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = undefined;
      if (this.playback.playing) this.advance(now);
      this.draw();
      if (this.playback.playing) this.redraw();
    });
  }

  /* Requests a drawing that includes the still canvas. */
  redrawAll() {
    this.isStale = true;
    this.redraw();
  }

  advance(now) {
    if (!this.playback.advance(now)) return;
    this.follow();
    if (!this.playback.playing) this.tell();
  }

  draw() {
    const { brush, scale, layout, playback } = this;
    if (!brush) return;
    if (this.isStale) {
      this.isStale = false;
      this.drawStill(this.stillBrush);
    }
    this.page.moveVeil(clamp(scale.x(playback.at) - scale.left, 0, scale.width));
    brush.globalAlpha = 1;
    brush.clearRect(0, 0, scale.width, layout.height);
    const [hidden, unseen] = this.clipped(brush, () => {
      outlineActive(brush, this);
      const left = [drawWakeUps(brush, this), drawMoments(brush, this)];
      drawLosses(brush, this);
      drawFaults(brush, this);
      drawPlayhead(brush, this);
      return left;
    });
    this.page.report(this, hidden, unseen);
  }

  drawStill(brush) {
    const { scene, scale, layout } = this;
    layout.range = scene.range(scale.from, scale.to);
    brush.globalAlpha = 1;
    brush.clearRect(0, 0, scale.width, layout.height);
    drawLanes(brush, this);
    drawAxes(brush, this);
    this.clipped(brush, () => {
      drawServers(brush, this);
      drawBars(brush, this);
      drawBalance(brush, this);
    });
  }

  /* Restricts drawing to the area right of the names. */
  clipped(brush, draw) {
    const { left, width } = this.scale;
    brush.save();
    brush.beginPath();
    brush.rect(left, 0, width - left, this.layout.height);
    brush.clip();
    const result = draw();
    brush.restore();
    return result;
  }
}

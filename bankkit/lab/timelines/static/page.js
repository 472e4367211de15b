/* The elements of a timeline on the page: title, numbers, canvases, controls, hint. */

import { element, write } from "../../drawing/static/dom.js";
import { hintWords, plotLabel } from "./narration.js";
import { FAINT } from "./theme.js";
import { dollars, duration, lossWords, speedWords } from "./words.js";

const SPEEDS = [[0.25, "¼ ×"], [0.5, "½ ×"], [1, "1 ×"], [2, "2 ×"], [4, "4 ×"]];

export class Page {
  constructor(parent, scene, playback) {
    this.frames = 0; // the number of frames drawn
    this.root = element("div", "bankkit-timeline", parent);
    const { lost, reading } = scene.colours;
    for (const [name, colour] of Object.entries({ lost, "on-lost": "black", focus: reading })) {
      this.root.style.setProperty(`--bk-${name}`, colour);
    }
    element("div", "bk-title", this.root, { textContent: scene.finding });
    this.legend = element("div", "bk-signs", this.root);
    this.addNumbers(scene);
    this.addPlot(scene);
    this.addControls(scene, playback);
    // Otherwise JupyterLab would take keys pressed here as commands, such as deleting the cell.
    for (const each of [this.plot, ...this.controls.children]) {
      each.dataset.lmSuppressShortcuts = "true";
    }
    this.hint = element("div", "bk-hint", this.root);
    this.said = element("div", "bk-said", this.root, { ariaLive: "polite", role: "status" });
  }

  addNumbers(scene) {
    const now = element("div", "bk-now", this.root);
    const number = (label) => {
      const box = element("span", "", now, { textContent: `${label} ` });
      return element("b", "", box);
    };
    this.clock = number("time");
    if (scene.stepAt.length) {
      this.actual = number("balance");
      this.expected = number("expected");
    } else {
      element("span", "", now, { textContent: scene.trouble });
    }
    this.loss = element("span", "bk-loss", now, { hidden: true });
  }

  /* Two canvases, one above the other: one for the parts that stand still, one for the parts that
     move during playback. A veil between them covers the time that has not been played yet. */
  addPlot(scene) {
    this.plot = element("div", "bk-plot", this.root, { tabIndex: 0 });
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-roledescription", "timeline");
    this.plot.setAttribute("aria-label", plotLabel(scene));
    this.still = element("canvas", "", this.plot);
    this.pane = element("div", "bk-pane", this.plot);
    this.veil = element("div", "bk-veil", this.pane);
    this.veil.style.opacity = 1 - FAINT;
    this.moving = element("canvas", "bk-moving", this.plot);
    for (const canvas of [this.still, this.moving]) canvas.setAttribute("aria-hidden", "true");
  }

  addControls(scene, playback) {
    this.controls = element("div", "bk-controls", this.root);
    this.play = this.button("");
    this.play.classList.add("bk-play");
    this.slider = element("input", "", this.controls, {
      type: "range", min: "0", max: String(scene.length), step: "any",
      ariaLabel: "Time in the recording",
    });
    this.speed = element("select", "", this.controls, { ariaLabel: "Speed" });
    for (const [factor, words] of SPEEDS) {
      const real = speedWords(playback.slowness(factor));
      element("option", "", this.speed, { value: factor, textContent: `${words}  (${real})` });
    }
    this.speed.value = "1";
    this.zoomOut = this.button("−", "Zoom out");
    this.zoomIn = this.button("+", "Zoom in");
    this.all = this.button("All", "Show all of it");
  }

  button(text, label) {
    const made = element("button", "", this.controls, { type: "button", textContent: text });
    if (label) {
      made.ariaLabel = label;
      made.title = label;
    }
    return made;
  }

  /* Resizes both canvases. Returns their brushes: of the still one, and of the moving one. */
  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    return [this.still, this.moving].map((canvas) => {
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const brush = canvas.getContext("2d");
      brush.setTransform(ratio, 0, 0, ratio, 0, 0);
      return brush;
    });
  }

  placeVeil(left, width, height) {
    Object.assign(this.pane.style, { left: `${left}px`, width: `${width}px`, height: `${height}px` });
  }

  /* Moves the left end of the veil to a place, in pixels from the left end of the plot. */
  moveVeil(to) {
    this.veil.style.transform = `translateX(${to}px)`;
  }

  /* Updates the words around the canvas. `hidden` arrows and `unseen` moments were not drawn. */
  report({ scene, scale, playback }, hidden, unseen) {
    const { at, playing } = playback;
    write(this.clock, duration(at));
    const balance = scene.balance(at);
    if (balance) {
      const gone = balance.expected - balance.actual;
      write(this.actual, dollars(balance.actual));
      write(this.expected, dollars(balance.expected));
      write(this.loss, gone ? lossWords(gone) : "");
      this.loss.hidden = !gone;
    }
    write(this.play, playing ? "❚❚ Pause" : "▶ Play");
    if (document.activeElement !== this.slider || playing) this.slider.value = at;
    const spoken = `${duration(at)} of ${duration(scene.length)}`;
    if (!playing) this.slider.setAttribute("aria-valuetext", spoken);
    write(this.hint, hintWords(scene, hidden, unseen));
    this.frames += 1;
    Object.assign(this.root.dataset, {
      frames: this.frames, at: Math.round(at), playing, length: scene.length,
      viewStart: Math.round(scale.from), viewEnd: Math.round(scale.to),
    });
  }
}

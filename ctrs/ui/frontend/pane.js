// One scan on the screen: its canvas, its scroll bar, and the words around it.

import { make, put, surface } from "./dom.js";
import { drawMeasurement, isSeen } from "./drawing.js";
import { PLANES, inPatient, placeOf, toScreen, voxelAt } from "./geometry.js";
import { LUNGS, Overlay, TUMOUR, drawOutline, namePlaces, stroke, write } from "./overlay.js";
import { rasterOf, reslice, sliceAt } from "./reslice.js";
import { drawStrip } from "./strip.js";
import { volumeOf } from "./volume.js";
import { presetName } from "./windows.js";

/** @typedef {import("./geometry.js").View} View */
/** @typedef {import("./nouns.js").Point} Point */
/** @typedef {import("./nouns.js").ScanSource} ScanSource */
/** @typedef {import("./viewer.js").State} State */
/** @typedef {import("./volume.js").Volume} Volume */

const CROSSHAIR = "rgb(120, 255, 160)";
const BARS_MM = [50, 20, 10, 5, 2];

export class Pane {
  /** @param {number} visit @param {() => void} redraw */
  constructor(visit, redraw) {
    this.visit = visit;
    this.redraw = redraw;
    this.context = surface(true);
    this.strip = surface();
    this.slice = surface();
    this.overlay = new Overlay();
    /** @type {Record<string, Volume | null>} */
    this.maps = {};
    /** @type {ImageData | null} */
    this.image = null;
    this.stripDrawn = "";
    this.unit = 1; // canvas pixels a CSS pixel
    this.ready = false;
    /** @type {Volume | null} */
    this.volume = null;
    /** @type {View | null} */
    this.view = null;
    /** @type {HTMLElement[]} */
    this.letters = [];
    this.sizes = new ResizeObserver(() => this.#measure());
    this.#build();
  }

  #build() {
    const name = `scan ${this.visit + 1}`;
    this.context.canvas.setAttribute("role", "img");
    this.strip.canvas.className = "strip";
    this.strip.canvas.width = 400;
    this.strip.canvas.height = 12;
    this.strip.canvas.setAttribute("aria-hidden", "true");
    this.caption = make("figcaption");
    this.where = make("span", { className: "where" });
    this.value = make("span", { className: "value" });
    this.letters = [0, 1, 2, 3].map((n) => make("span", { className: `letter side${n}` }));
    this.problem = make("p", { className: "problem", hidden: true });
    this.problem.setAttribute("role", "alert");
    this.stage = make(
      "div",
      { className: "stage", tabIndex: 0, role: "group" },
      this.context.canvas, ...this.letters, this.where, this.value, this.problem,
    );
    this.range = make("input", { type: "range", min: 0, step: 1, "aria-label": `Slice of ${name}` });
    this.element = make("figure", { className: "pane" }, this.caption, this.stage,
      this.strip.canvas, this.range);
    this.sizes.observe(this.stage);
  }

  #measure() {
    this.unit = window.devicePixelRatio || 1;
    const { width, height } = this.stage.getBoundingClientRect();
    const canvas = this.context.canvas;
    canvas.width = Math.max(1, Math.round(width * this.unit));
    canvas.height = Math.max(1, Math.round(height * this.unit));
    this.redraw();
  }

  /** @param {ScanSource} source */
  show(source) {
    this.source = source;
    this.caption.textContent = source.label;
    this.stage.setAttribute("aria-label", `${source.label}. Press ? for the keys.`);
    this.volume = this.#watch(volumeOf(source.ct, (n) => new Int16Array(n)));
    const bytes = (/** @type {number} */ n) => new Uint8Array(n);
    const signed = (/** @type {number} */ n) => new Int8Array(n);
    for (const layer of /** @type {const} */ (["tumour", "lesions", "lungs", "saliency"])) {
      const from = source[layer];
      const map = from && volumeOf(from, layer === "saliency" ? signed : bytes);
      this.maps[layer] = map && this.#watch(map);
    }
    this.stripDrawn = "";
  }

  /** @param {Volume} volume */
  #watch(volume) {
    volume.watchers.add(this.redraw);
    return volume;
  }

  /** Let go of everything; the voxels stay for another visit of the page. */
  close() {
    this.sizes.disconnect();
    for (const volume of [this.volume, ...Object.values(this.maps)]) {
      volume?.watchers.delete(this.redraw);
    }
  }

  /** @param {State} state @param {number} scale @param {Point} centre @returns {View} */
  viewOf(state, scale, centre) {
    const { width, height } = this.context.canvas;
    return { plane: PLANES[state.plane], scale, centre, width, height };
  }

  /** @param {State} state @param {View} view @param {Uint32Array} table
   * @param {import("./nouns.js").Measurement[]} measurements */
  draw(state, view, table, measurements) {
    const { volume, context, source } = this;
    if (!volume || !source || context.canvas.width < 2) return;
    this.view = view;
    const at = state.at[this.visit];
    const slice = sliceAt(volume, view.plane, at[view.plane.w]);
    volume.load(sliceAt(volume, PLANES.axial, at[2]));
    context.fillStyle = "#000";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.font = `600 ${13 * this.unit * (state.large ? 1.6 : 1)}px sans-serif`;
    this.ready = slice < 0 || view.plane.w !== 2 || volume.have[slice] === 1;
    // The picture first: a browser has few lines to one server.
    if (this.ready) Object.values(this.maps).forEach((map) => map?.load());
    if (slice >= 0 && this.ready) {
      this.#drawSlice(view, slice, table);
      this.#drawOverlays(state, view, at);
    } else {
      const words = slice < 0 ? "The scan ends before this place." : "This slice is on its way…";
      context.textAlign = "center";
      write(context, words, [view.width / 2, view.height / 2], "#ddd", this.unit);
    }
    const thick = volume.source.spacing[view.plane.w];
    for (const drawn of measurements) {
      if (drawn.plane === state.plane && isSeen(drawn, view, at, thick)) {
        drawMeasurement(context, view, drawn, drawn.key === state.chosen, this.unit);
      }
    }
    if (state.crosshair) this.#drawCrosshair(view, at);
    this.#drawScaleBar(view);
    this.#say(state, view, slice);
  }

  /** @param {View} view @param {number} slice @param {Uint32Array} table */
  #drawSlice(view, slice, table) {
    const volume = /** @type {Volume} */ (this.volume);
    const raster = rasterOf(volume, view.plane);
    if (this.image?.width !== raster.width || this.image.height !== raster.height) {
      this.slice.canvas.width = raster.width;
      this.slice.canvas.height = raster.height;
      this.image = this.slice.createImageData(raster.width, raster.height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    reslice(volume, view.plane, slice, raster, table, /** @type {Uint32Array} */ (this.pixels));
    this.slice.putImageData(this.image, 0, 0);
    const corner = /** @type {Point} */ ([0, 0, 0]);
    corner[view.plane.u] = raster.u0 - raster.du / 2;
    corner[view.plane.v] = raster.v0 - raster.dv / 2;
    const [x, y] = toScreen(view, corner);
    const wide = raster.width * raster.du * view.scale;
    const high = raster.height * Math.abs(raster.dv) * view.scale;
    this.context.imageSmoothingEnabled = true;
    this.context.drawImage(this.slice.canvas, x, y, wide, high);
  }

  /** @param {State} state @param {View} view @param {Point} at */
  #drawOverlays(state, view, at) {
    const { tumour, lesions, lungs, saliency } = this.maps;
    const { context } = this;
    const mm = at[view.plane.w];
    const unit = this.unit;
    if (saliency && state.opacity > 0) {
      this.overlay.drawSaliency(context, view, saliency, mm, state.opacity);
    }
    if (tumour && state.fill) this.overlay.drawFill(context, view, tumour, mm);
    if (!state.contours) return;
    if (lungs) drawOutline(context, view, lungs, mm, LUNGS, unit, unit);
    const drawn = tumour && drawOutline(context, view, tumour, mm, TUMOUR, 1.8 * unit, unit);
    if (!drawn || !lesions?.complete) return;
    context.textAlign = "left";
    for (const [label, [x, y]] of namePlaces(view, lesions, drawn)) {
      write(context, this.source?.names[label] ?? "", [x + 5 * unit, y], TUMOUR, unit);
    }
  }

  /** Open in the middle, so that what is pointed at stays visible. @param {View} view
   * @param {Point} at */
  #drawCrosshair(view, at) {
    const { context } = this;
    const [x, y] = toScreen(view, at);
    const gap = 12 * this.unit;
    context.beginPath();
    for (const [from, to] of [[0, x - gap], [x + gap, view.width]]) {
      context.moveTo(from, y);
      context.lineTo(to, y);
    }
    for (const [from, to] of [[0, y - gap], [y + gap, view.height]]) {
      context.moveTo(x, from);
      context.lineTo(x, to);
    }
    stroke(context, CROSSHAIR, this.unit, this.unit);
  }

  /** A length to compare with, as long as there is room for. @param {View} view */
  #drawScaleBar(view) {
    const { context } = this;
    const unit = this.unit;
    const mm = BARS_MM.find((one) => one * view.scale <= view.width / 2) ?? 1;
    const [left, right, y] = [12 * unit, 12 * unit + mm * view.scale, view.height - 12 * unit];
    context.beginPath();
    context.moveTo(left, y - 4 * unit);
    context.lineTo(left, y);
    context.lineTo(right, y);
    context.lineTo(right, y - 4 * unit);
    stroke(context, "#fff", 2 * unit, unit);
    context.textAlign = "left";
    const words = mm < 10 ? `${mm} mm` : `${mm / 10} cm`;
    write(context, words, [left + 4 * unit, y - 6 * unit], "#fff", unit);
  }

  /** @param {State} state @param {View} view @param {number} slice */
  #say(state, view, slice) {
    const volume = /** @type {Volume} */ (this.volume);
    const source = /** @type {ScanSource} */ (this.source);
    const { w, letters } = view.plane;
    const count = volume.source.size[w];
    letters.forEach((letter, n) => put(this.letters[n], letter));
    const mm = inPatient(source.position, source.direction, state.at[this.visit], w);
    const number = slice < 0 ? "beyond the scan" : `slice ${slice + 1} of ${count}`;
    const { centre, width } = state.window;
    const name = presetName(state.window) ?? "own window";
    const hu = `${centre.toFixed(0)} ± ${(width / 2).toFixed(0)} HU`.replace("-", "−");
    put(this.where, `${number} · ${mm}\n${name}: ${hu}`);
    put(this.value, this.#valueAt(state.pointer?.[this.visit] ?? state.at[this.visit]));
    this.range.max = count - 1;
    this.range.value = Math.max(slice, 0);
    this.range.setAttribute("aria-valuetext", `${number}, ${mm}`);
    const what = `${source.label}, ${state.plane}, ${number}, ${mm}`;
    this.context.canvas.setAttribute("aria-label", what);
    Object.assign(this.element.dataset, { slice, ready: Number(this.ready) });
    this.#sayProblem(volume);
    this.#drawStripOnce(state, view);
  }

  /** @param {Point} place */
  #valueAt(place) {
    const volume = /** @type {Volume} */ (this.volume);
    const voxel = voxelAt(volume.source, place);
    if (!voxel || !volume.have[voxel[2]]) return "";
    const [nx, ny] = volume.source.size;
    const hu = volume.data[voxel[0] + nx * (voxel[1] + ny * voxel[2])];
    return `${String(hu).replace("-", "−")} HU`;
  }

  /** @param {Volume} volume */
  #sayProblem(volume) {
    const failed = [volume, ...Object.values(this.maps)].filter((one) => one?.failed);
    const words = failed.some((one) => one?.status === 403)
      ? "The addresses of the images are no longer valid. Reload the page."
      : failed.some((one) => one?.status === 404)
        ? "The images are no longer kept. Upload the scans again."
        : "A part of the scan did not arrive.";
    if (this.problem.hidden === failed.length > 0 || this.problem.dataset.words !== words) {
      const again = make("button", { type: "button", textContent: "Try again" });
      again.onclick = () => failed.forEach((one) => one?.retry());
      this.problem.dataset.words = words;
      this.problem.replaceChildren(words, " ", again);
    }
    this.problem.hidden = failed.length === 0;
    this.stage.dataset.arrived = volume.share < 1 ? `${Math.round(100 * volume.share)} % here` : "";
  }

  /** @param {State} state @param {View} view */
  #drawStripOnce(state, view) {
    const { tumour, saliency } = this.maps;
    const wanted = [state.plane, tumour?.complete, saliency?.complete && state.opacity > 0].join();
    if (wanted === this.stripDrawn || !this.volume) return;
    this.stripDrawn = wanted;
    const shown = state.opacity > 0 ? saliency : null;
    drawStrip(this.strip, this.volume, view.plane, tumour, shown);
  }

  /** The place of the slice with this number, on the line through `at`. @param {number} number
   * @param {number} axis @param {Point} at @returns {Point} */
  atSlice(number, axis, at) {
    const grid = /** @type {Volume} */ (this.volume).source;
    const index = /** @type {Point} */ ([0, 0, 0]);
    index[axis] = Math.min(Math.max(number, 0), grid.size[axis] - 1);
    const moved = /** @type {Point} */ ([...at]);
    moved[axis] = placeOf(grid, index)[axis];
    return moved;
  }
}

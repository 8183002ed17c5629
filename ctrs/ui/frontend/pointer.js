// The mouse on one scan: wheel, drag, and the place under it.

import { endAt, isSeen } from "./drawing.js";
import { PLANES, toPlace } from "./geometry.js";
import { atRightAngles } from "./measure.js";

/** @typedef {import("./nouns.js").Point} Point */

const NOTCH = 50; // of a wheel, in pixels
const LINE = 33;
const REACH = 8;

export class Pointer {
  /** @param {import("./viewer.js").Viewer} viewer @param {import("./pane.js").Pane} pane */
  constructor(viewer, pane) {
    this.viewer = viewer;
    this.pane = pane;
    this.turned = 0;
    /** @type {((event: PointerEvent) => void) | null} */
    this.drag = null;
    /** An end was pulled of what had been whole before. */
    this.bent = false;
    const { stage } = pane;
    stage.addEventListener("wheel", (/** @type {WheelEvent} */ e) => this.#wheel(e), { passive: false });
    stage.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => this.#down(e));
    stage.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => this.#move(e));
    stage.addEventListener("pointerup", () => this.#up());
    stage.addEventListener("pointercancel", () => this.#up());
    stage.addEventListener("pointerleave", () => viewer.set({ pointer: null }));
    stage.addEventListener("contextmenu", (/** @type {Event} */ e) => e.preventDefault());
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    if (event.ctrlKey) return this.viewer.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    this.turned += event.deltaMode === 1 ? event.deltaY * LINE : event.deltaY;
    const notches = Math.trunc(this.turned / NOTCH);
    this.turned -= notches * NOTCH;
    if (notches) this.viewer.step(this.pane.visit, Math.sign(notches) * Math.ceil(Math.abs(notches) / 2));
  }

  /** @param {MouseEvent} event @returns {[number, number]} */
  #spot(event) {
    const { left, top } = this.pane.context.canvas.getBoundingClientRect();
    const unit = this.pane.unit;
    return [(event.clientX - left) * unit, (event.clientY - top) * unit];
  }

  /** @param {MouseEvent} event @returns {Point} */
  #place(event) {
    const view = /** @type {import("./geometry.js").View} */ (this.pane.view);
    return toPlace(view, this.#spot(event), this.viewer.state.at[this.pane.visit]);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (!this.pane.view || /** @type {Element} */ (event.target).closest("button")) return;
    this.pane.stage.focus({ preventScroll: true });
    this.viewer.active = this.pane.visit;
    this.pane.stage.setPointerCapture(event.pointerId);
    this.drag = this.#begin(event);
  }

  /** What this drag does, step by step. @param {PointerEvent} event */
  #begin(event) {
    const { viewer, pane } = this;
    const { tool } = viewer.state;
    if (event.button === 2 || (event.button === 0 && tool === "window")) return this.#windowing(event);
    if (event.button === 1 || tool === "pan" || event.shiftKey) return this.#panning(event);
    const grip = this.#gripAt(event);
    if (grip) return this.#bending(grip);
    if (tool === "length" || tool === "diameters") {
      viewer.measuring.begin(pane.visit, this.#place(event));
      return (/** @type {PointerEvent} */ e) => viewer.measuring.extend(this.#place(e));
    }
    viewer.point(pane.visit, this.#place(event));
    return (/** @type {PointerEvent} */ e) => viewer.point(pane.visit, this.#place(e));
  }

  /** @param {PointerEvent} event */
  #windowing({ clientX, clientY }) {
    const { centre, width } = this.viewer.state.window;
    return (/** @type {PointerEvent} */ e) =>
      this.viewer.setWindow(centre + 2 * (e.clientY - clientY), width + 4 * (e.clientX - clientX));
  }

  /** @param {PointerEvent} event */
  #panning(event) {
    let [x, y] = this.#spot(event);
    return (/** @type {PointerEvent} */ e) => {
      const spot = this.#spot(e);
      const scale = this.pane.view?.scale ?? 1;
      this.viewer.panBy((spot[0] - x) / scale, (spot[1] - y) / scale);
      [x, y] = spot;
    };
  }

  /** The end of a line under the pointer, if it is seen here. @param {PointerEvent} event */
  #gripAt(event) {
    const { viewer, pane } = this;
    const view = /** @type {import("./geometry.js").View} */ (pane.view);
    const at = viewer.state.at[pane.visit];
    const thick = viewer.data.scans[pane.visit].ct.spacing[view.plane.w];
    const seen = viewer.measuring.of(pane.visit).filter(
      (one) => one.plane === viewer.state.plane && isSeen(one, view, at, thick),
    );
    return endAt(view, seen, this.#spot(event), REACH * pane.unit);
  }

  /** Move one end of a line; a first diameter that turns takes the second with it.
   * @param {{drawn: import("./nouns.js").Measurement, line: number, end: number}} grip */
  #bending({ drawn, line, end }) {
    const { measuring } = this.viewer;
    const open = measuring.draft?.key === drawn.key; // its second diameter may still come
    if (!open) measuring.keepOpen();
    const draft = structuredClone(drawn);
    const through = PLANES[drawn.plane].w;
    measuring.pick(drawn.key);
    return (/** @type {PointerEvent} */ e) => {
      measuring.draft = draft;
      this.bent = !open;
      const place = this.#place(e);
      place[through] = drawn.lines[0][0][through];
      const ends = draft.lines[line];
      if (line === 0) ends[end] = place;
      else draft.lines[1] = atRightAngles(draft.lines[0], ends[1 - end], place, through);
      if (line === 0 && draft.lines[1]) {
        draft.lines[1] = atRightAngles(draft.lines[0], ...draft.lines[1], through);
      }
      this.viewer.draw();
    };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.pane.view) return;
    if (this.drag) return this.drag(event);
    const place = this.#place(event);
    const pointer = [place, place];
    pointer[1 - this.pane.visit] = this.viewer.opposite(this.pane.visit, place);
    this.viewer.set({ pointer });
  }

  #up() {
    if (!this.drag) return;
    this.drag = null;
    const { measuring } = this.viewer;
    if (this.bent && measuring.draft) measuring.keep(measuring.draft);
    else measuring.end();
    this.bent = false;
  }
}

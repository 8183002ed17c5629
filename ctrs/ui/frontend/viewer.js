// Both scans, what is looked at in them, and everything one can do.

import { decode, encode } from "./address.js";
import { make } from "./dom.js";
import { PLANES, add, apply, clamp, fitting, indexOf, inverse, middleOf, toScreen } from "./geometry.js";
import { lessonOf } from "./keys.js";
import { Lessons } from "./lessons.js";
import { listOf } from "./list.js";
import { Measuring } from "./measuring.js";
import { Pane } from "./pane.js";
import { Pointer } from "./pointer.js";
import { Toolbar } from "./toolbar.js";
import { PRESETS, table } from "./windows.js";

/** @typedef {import("./nouns.js").Data} Data */
/** @typedef {import("./nouns.js").Point} Point */
/** @typedef {import("./nouns.js").PlaneName} PlaneName */
/** @typedef {"point" | "window" | "pan" | "length" | "diameters"} Tool */

/**
 * Everything that is looked at. `at` is the crosshair in each scan.
 * @typedef {object} State
 * @property {PlaneName} plane
 * @property {[Point, Point]} at
 * @property {import("./windows.js").Window} window
 * @property {number} zoom  1 = both scans fit
 * @property {Point} pan  mm
 * @property {boolean} linked
 * @property {Point} offset  mm that a person moved the follow-up
 * @property {boolean} crosshair
 * @property {boolean} contours
 * @property {boolean} fill
 * @property {number} opacity  of the saliency, 0 to 1
 * @property {boolean} large
 * @property {Tool} tool
 * @property {string} lesion  the one that is spoken of, or ""
 * @property {string} chosen  key of a measurement, or ""
 * @property {(Point | null)[] | null} pointer
 */

const WAIT_MS = 400;

/** What was looked at, by pair; as long as the tab lives. @type {Map<string, State>} */
const remembered = new Map();

export class Viewer {
  /** @param {ParentNode} parent @param {Data} data
   * @param {(name: string, value: unknown) => void} tell  hands something to python */
  constructor(parent, data, tell) {
    this.data = data;
    this.tell = tell;
    this.frame = 0;
    this.active = 0;
    this.born = performance.now();
    /** The last place that python asked for. */
    this.gone = 0;
    /** @type {import("./windows.js").Window | null} */
    this.tableOf = null;
    /** @type {Uint32Array} */
    this.table = new Uint32Array(0);
    this.redraw = () => this.draw();
    this.measuring = new Measuring(this);
    this.panes = [0, 1].map((visit) => new Pane(visit, this.redraw));
    this.toolbar = new Toolbar(this);
    this.lessons = new Lessons();
    this.live = make("p", { className: "unseen", "aria-live": "polite" });
    this.notes = make("div", { className: "notes" });
    this.list = make("div", { className: "lesions", role: "group", "aria-label": "Lesions" });
    const both = make("div", { className: "panes" }, ...this.panes.map((pane) => pane.element));
    this.root = make("div", { className: "viewer", "data-testid": "viewer" },
      this.toolbar.element, both, this.list, this.notes, this.live, this.lessons.element);
    parent.append(this.root);
    this.state = this.#begin(data);
    this.update(data, tell);
    this.panes.forEach((pane) => this.#listen(pane));
    this.root.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => this.#key(e));
    this.whenScreenChanges = () => this.#fitScreen();
    document.addEventListener("fullscreenchange", this.whenScreenChanges);
  }

  /** @param {Data} data @returns {State} */
  #begin(data) {
    const known = remembered.get(data.pair);
    if (known) return known;
    const middle = middleOf(data.scans[0].ct);
    /** @type {State} */
    const fresh = {
      plane: "axial", at: [middle, middle], window: PRESETS[1][1], zoom: 1, pan: [0, 0, 0],
      linked: true, offset: data.link.offset, crosshair: true, contours: true, fill: false,
      opacity: 0.6, large: false, tool: "point", lesion: "", chosen: "", pointer: null,
    };
    const asked = decode(data.view);
    if (asked) return { ...fresh, ...asked };
    const largest = data.lesions[0]?.at ?? [];
    fresh.at[0] = largest[0] ?? (largest[1] ? this.#across(1, largest[1], fresh) : middle);
    fresh.at[1] = largest[1] ?? this.#across(0, fresh.at[0], fresh);
    return fresh;
  }

  /** What python says now; the same state goes on. @param {Data} data
   * @param {(name: string, value: unknown) => void} tell */
  update(data, tell) {
    this.tell = tell;
    const goto = data.goto && data.goto.n !== this.gone ? data.goto : null;
    this.data = data;
    this.panes.forEach((pane, visit) => pane.show(data.scans[visit]));
    this.state.offset = data.link.offset;
    this.measuring.settle();
    this.list.replaceChildren(...listOf(this));
    this.notes.replaceChildren(...this.toolbar.notes());
    if (goto) {
      this.gone = goto.n;
      this.lead(goto.visit, goto.at);
    }
    this.draw();
  }

  close() {
    remembered.set(this.data.pair, { ...this.state, pointer: null, large: false });
    cancelAnimationFrame(this.frame);
    document.removeEventListener("fullscreenchange", this.whenScreenChanges);
    this.panes.forEach((pane) => pane.close());
    this.root.remove();
  }

  // --- Where ----------------------------------------------------------------------------------

  /** The same place of the other scan. @param {number} from  visit @param {Point} place
   * @param {State} [state] @returns {Point} */
  #across(from, place, state = this.state) {
    const { matrix } = this.data.link;
    if (from === 0) return add(apply(matrix, place), state.offset);
    return apply(inverse(matrix), add(place, state.offset, -1));
  }

  /** Public name of it, for the pointer. @param {number} from @param {Point} place */
  opposite(from, place) {
    return this.#across(from, place);
  }

  /** Put the crosshair; the other scan follows if both are linked. @param {number} visit
   * @param {Point} place */
  point(visit, place) {
    this.state.at[visit] = place;
    if (this.state.linked) this.state.at[1 - visit] = this.#across(visit, place);
    this.draw();
  }

  /** Put the crosshair, and move the picture if it would lie outside. @param {number} visit
   * @param {Point} place */
  lead(visit, place) {
    this.point(visit, place);
    this.#reveal(visit);
  }

  /** Enlarged or moved away, the picture may not show the crosshair: bring it into the middle.
   * @param {number} visit */
  #reveal(visit) {
    const view = this.#views()[visit];
    const [x, y] = toScreen(view, this.state.at[visit]);
    const { width, height } = view;
    if (x >= 0 && x <= width && y >= 0 && y <= height) return;
    const { at, linked } = this.state;
    const [from, place] = linked && visit === 1 ? [0, this.#across(1, at[1])] : [visit, at[visit]];
    this.set({ pan: add(place, middleOf(this.data.scans[from].ct), -1) });
  }

  /** @param {number} visit @param {number} slices  down the screen */
  step(visit, slices) {
    const plane = PLANES[this.state.plane];
    const grid = this.data.scans[visit].ct;
    const now = Math.round(indexOf(grid, this.state.at[visit])[plane.w]);
    this.goToSlice(visit, now + slices * plane.down);
  }

  /** @param {number} visit @param {number} number  from 0 */
  goToSlice(visit, number) {
    const { w } = PLANES[this.state.plane];
    this.point(visit, this.panes[visit].atSlice(number, w, this.state.at[visit]));
    this.#saySoon(visit);
  }

  /** Move the crosshair within the slice, in voxels to the right and down. @param {number} visit
   * @param {number} right @param {number} down */
  nudge(visit, right, down) {
    const { u, v, flip } = PLANES[this.state.plane];
    const { spacing } = this.data.scans[visit].ct;
    const moved = /** @type {Point} */ ([...this.state.at[visit]]);
    moved[u] += right * spacing[u];
    moved[v] += down * spacing[v] * (flip ? -1 : 1);
    this.point(visit, moved);
    this.#saySoon(visit);
  }

  /** Go to a lesion in both scans. @param {string} name */
  goToLesion(name) {
    const lesion = this.data.lesions.find((one) => one.name === name);
    if (!lesion) return;
    this.state.lesion = name;
    const [first, second] = lesion.at;
    if (first) this.point(0, first);
    else if (second) this.point(1, second);
    // Where both are known, each scan shows its own: the link may be some millimetres off.
    if (first && second) this.state.at = [first, second];
    this.#reveal(first ? 0 : 1);
    this.say(`${name}, ${lesion.ml.map((ml) => (ml ? `${ml.toFixed(1)} ml` : "not seen")).join(", then ")}`);
    this.list.replaceChildren(...listOf(this));
    this.draw();
  }

  /** @param {number} by */
  nextLesion(by) {
    const names = this.data.lesions.map((one) => one.name);
    if (names.length === 0) return this.say("No lesion was outlined.");
    const at = names.indexOf(this.state.lesion);
    const next = at < 0 ? (by > 0 ? 0 : names.length - 1) : (at + by + names.length) % names.length;
    this.goToLesion(names[next]);
  }

  // --- How ------------------------------------------------------------------------------------

  /** @param {Partial<State>} changes @param {string} [words] */
  set(changes, words) {
    Object.assign(this.state, changes);
    if (words) this.say(words);
    this.draw();
  }

  /** @param {number} centre @param {number} width @param {string} [words] */
  setWindow(centre, width, words) {
    const kept = { centre: clamp(centre, -1500, 3500), width: clamp(width, 1, 5000) };
    this.set({ window: kept }, words);
  }

  /** @param {number} factor */
  zoomBy(factor) {
    this.set({ zoom: clamp(this.state.zoom * factor, 0.5, 10) });
  }

  /** @param {number} right  mm @param {number} down  mm */
  panBy(right, down) {
    const { u, v, flip } = PLANES[this.state.plane];
    const pan = /** @type {Point} */ ([...this.state.pan]);
    pan[u] -= right;
    pan[v] -= down * (flip ? -1 : 1);
    this.set({ pan });
  }

  /** Link both scans as they stand now, and remember it. */
  linkHere() {
    const { at } = this.state;
    const offset = add(at[1], apply(this.data.link.matrix, at[0]), -1);
    this.set({ offset, linked: true }, "Linked as they stand, and remembered.");
    this.tell("offset", offset.map((mm) => Math.round(mm * 10) / 10));
  }

  async toggleScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.root.requestFullscreen();
  }

  #fitScreen() {
    const large = this.root.matches(":fullscreen");
    this.root.classList.toggle("large", large);
    this.set({ large });
  }

  async copyLink() {
    const url = new URL(document.baseURI);
    url.searchParams.set("view", encode(this.state));
    try {
      await navigator.clipboard.writeText(url.href);
      this.say("The link was copied.");
    } catch {
      this.say("The browser allows no copying: take the link from here.");
    }
    this.toolbar.showLink(url.href);
  }

  // --- Drawing --------------------------------------------------------------------------------

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    this.frame = 0;
    const { state } = this;
    const started = performance.now();
    if (this.tableOf !== state.window) this.table = table(state.window);
    this.tableOf = state.window;
    this.#views().forEach((view, visit) => {
      this.panes[visit].draw(state, view, this.table, this.measuring.of(visit));
    });
    this.toolbar.refresh();
    this.#note(performance.now() - started);
  }

  /** How both scans come to the screen, in one scale. */
  #views() {
    const { state } = this;
    const { width, height } = this.panes[0].context.canvas;
    const fits = this.data.scans.map((scan, visit) =>
      fitting(PLANES[state.plane], scan.ct, this.#centre(visit, [0, 0, 0]), width, height),
    );
    const scale = Math.min(...fits) * state.zoom;
    return this.panes.map((pane, visit) => pane.viewOf(state, scale, this.#centre(visit, state.pan)));
  }

  /** What lies in the middle of a pane: linked, the same place in both. @param {number} visit
   * @param {Point} pan @returns {Point} */
  #centre(visit, pan) {
    const first = add(middleOf(this.data.scans[0].ct), pan);
    if (visit === 0) return first;
    if (this.state.linked) return this.#across(0, first);
    return add(middleOf(this.data.scans[1].ct), pan);
  }

  /** For those who measure us: when the first picture stood, when all was there, how long it took.
   * @param {number} took */
  #note(took) {
    const { dataset } = this.root;
    const since = String(Math.round(performance.now() - this.born));
    dataset.frames = String(Number(dataset.frames ?? 0) + 1);
    dataset.took = took.toFixed(2);
    if (!dataset.first && this.panes.every((pane) => pane.ready)) dataset.first = since;
    if (!dataset.full && this.panes.every((pane) => pane.volume?.complete)) dataset.full = since;
  }

  // --- Words and keys -------------------------------------------------------------------------

  /** @param {string} words */
  say(words) {
    this.live.textContent = words;
  }

  /** @param {number} visit */
  #saySoon(visit) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.say(this.panes[visit].context.canvas.getAttribute("aria-label") ?? "");
    }, WAIT_MS);
  }

  /** @param {Pane} pane */
  #listen(pane) {
    new Pointer(this, pane);
    pane.stage.addEventListener("focus", () => (this.active = pane.visit));
    pane.range.addEventListener("input", () => this.goToSlice(pane.visit, Number(pane.range.value)));
    pane.range.addEventListener("focus", () => (this.active = pane.visit));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const typing = event.target instanceof HTMLInputElement;
    const lesson = typing ? undefined : lessonOf(event);
    if (lesson) {
      lesson.act(this, event);
      event.preventDefault();
    }
    // Streamlit listens for r and c on the whole page.
    if (!event.ctrlKey && !event.metaKey && event.key !== "Tab") event.stopPropagation();
  }
}


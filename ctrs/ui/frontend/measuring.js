// Lines drawn by hand: begun and ended, named after a lesion, handed on, chosen and deleted.

import { PLANES } from "./geometry.js";
import { atRightAngles, freeName, lengthOf, middleOfLine, radiusOf } from "./measure.js";

/** @typedef {import("./nouns.js").Point} Point */
/** @typedef {import("./nouns.js").Measurement} Measurement */

const SHORTEST_MM = 0.5; // what is shorter was a press, not a line
const NEAR_MM = 20; // so far the link may be off, or a line may begin beside its lesion
const REMINDERS = 3; // then python does not want it, and has said why

export class Measuring {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** What is being drawn. @type {Measurement | null} */
    this.draft = null;
    /** Handed on, and not yet in what python says. It can be busy for seconds, and of two messages
     * gets the later one only, whatever they are about: so each has them all, and python is told
     * again if it answers without them. @type {Measurement[]} */
    this.sent = [];
    /** How often it will still be told. */
    this.reminders = 0;
    /** What is chosen was chosen by a person, and not by being drawn: it may be drawn anew. */
    this.picked = false;
  }

  /** What python has kept, in the shape that was drawn last. */
  get all() {
    const { draft, sent } = this;
    const newer = draft ? [...sent.filter((one) => one.key !== draft.key), draft] : sent;
    const older = this.viewer.data.measurements.filter((one) => newer.every((n) => n.key !== one.key));
    return [...older, ...newer];
  }

  /** Those of one scan. @param {number} visit */
  of(visit) {
    return this.all.filter((one) => one.visit === visit);
  }

  get #chosen() {
    return this.all.find((one) => one.key === this.viewer.state.chosen);
  }

  /** Python says what it has: that need not be said again, the rest does. */
  settle() {
    const kept = new Map(this.viewer.data.measurements.map((one) => [one.key, shapeOf(one)]));
    this.sent = this.sent.filter((one) => kept.get(one.key) !== shapeOf(one));
    if (this.sent.length === 0 || this.reminders === 0) return;
    this.reminders -= 1;
    this.viewer.tell("drawn", this.sent);
  }

  // --- A line ---------------------------------------------------------------------------------

  /** Begin a line, or its second diameter, at a place. @param {number} visit @param {Point} place */
  begin(visit, place) {
    const { draft } = this;
    if (draft && this.viewer.state.tool === "diameters" && this.#goesOn(draft, visit, place)) {
      draft.lines.push([place, place]);
      return;
    }
    this.keepOpen();
    const { plane } = this.viewer.state;
    this.draft = { ...this.#nameAt(visit, place), visit, plane, lines: [[place, place]] };
  }

  /** Whether a line that begins here is the second diameter of this one: in the same slice.
   * @param {Measurement} draft @param {number} visit @param {Point} place */
  #goesOn({ visit: drawnIn, plane, lines }, visit, place) {
    const { data, state } = this.viewer;
    const { w } = PLANES[plane];
    const apart = Math.abs(lines[0][0][w] - place[w]);
    const same = drawnIn === visit && plane === state.plane && lines.length === 1;
    return same && apart <= data.scans[visit].ct.spacing[w] / 2;
  }

  /** Which lesion a line belongs to, and its key: nothing that was measured is written over unless
   * a person chose it. @param {number} visit @param {Point} place */
  #nameAt(visit, place) {
    const again = this.picked ? this.#chosen : undefined;
    if (again) {
      const known = this.of(visit).find((one) => one.lesion === again.lesion);
      return { key: known?.key ?? crypto.randomUUID(), lesion: again.lesion };
    }
    const measured = this.of(visit).map((one) => one.lesion);
    const name = [this.#chosen?.lesion, this.viewer.state.lesion].find(
      (one) => one && !measured.includes(one) && this.#isNear(one, visit, place),
    );
    const lesion = name ?? freeName(this.all.map((one) => one.lesion));
    return { key: crypto.randomUUID(), lesion };
  }

  /** Whether a place lies at a lesion, as it is outlined or was measured in either scan.
   * @param {string} name @param {number} visit @param {Point} place */
  #isNear(name, visit, place) {
    const { viewer } = this;
    const outlined = viewer.data.lesions.filter((one) => one.name === name).flatMap(({ at, ml }) =>
      at.map((there, scan) => ({ scan, there, radius: radiusOf(ml[scan] ?? 0) })),
    );
    const drawn = this.all.filter((one) => one.lesion === name).map(({ visit: scan, lines }) => (
      { scan, there: middleOfLine(lines[0]), radius: lengthOf(lines[0]) / 2 }
    ));
    return [...outlined, ...drawn].some(({ scan, there, radius }) => {
      if (!there) return false;
      const here = scan === visit ? there : viewer.opposite(scan, there);
      return lengthOf([here, place]) <= radius + NEAR_MM;
    });
  }

  /** @param {Point} place */
  extend(place) {
    if (!this.draft) return;
    const { lines, plane } = this.draft;
    const last = lines.length - 1;
    const [start] = lines[last];
    const through = PLANES[plane].w;
    lines[last] = last === 0 ? [start, place] : atRightAngles(lines[0], start, place, through);
    this.viewer.draw();
  }

  /** A line is drawn; hand it on unless its second diameter is still to come. */
  end() {
    if (!this.draft) return;
    const { lines } = this.draft;
    if (lines.some((line) => lengthOf(line) < SHORTEST_MM)) return this.drop();
    if (this.viewer.state.tool === "diameters" && lines.length === 1) {
      return this.viewer.say("Now the diameter at right angles.");
    }
    this.keep(this.draft);
  }

  /** @param {Measurement} drawn */
  keep(drawn) {
    this.draft = null;
    this.picked = false;
    this.sent = [...this.sent.filter((one) => one.key !== drawn.key), drawn];
    this.reminders = REMINDERS;
    this.viewer.tell("drawn", this.sent);
    const mm = lengthOf(drawn.lines[0]).toFixed(1);
    this.viewer.set({ chosen: drawn.key }, `${drawn.lesion}: ${mm} mm.`);
  }

  /** A first diameter whose second one never came is a length. */
  keepOpen() {
    const { draft } = this;
    if (draft?.lines.every((line) => lengthOf(line) >= SHORTEST_MM)) this.keep(draft);
  }

  drop() {
    this.draft = null;
    this.viewer.draw();
  }

  /** @param {import("./viewer.js").Tool} tool */
  take(tool) {
    this.keepOpen();
    this.viewer.set({ tool });
  }

  /** By keyboard: the crosshair is the pen; once to begin, once more to end.
   * @param {import("./viewer.js").Tool} tool */
  pen(tool) {
    const { viewer, draft } = this;
    viewer.state.tool = tool;
    const place = viewer.state.at[viewer.active];
    if (draft && (draft.lines.length === 2 || lengthOf(draft.lines[0]) === 0)) {
      this.extend(place);
      return this.end();
    }
    this.begin(viewer.active, place);
    viewer.say("Move the crosshair to the other end, and press the key again.");
    viewer.draw();
  }

  // --- One of many ----------------------------------------------------------------------------

  /** @param {string} key @param {string} [words] */
  pick(key, words) {
    this.picked = true;
    this.viewer.set({ chosen: key }, words);
  }

  /** @param {number} by */
  next(by) {
    const { all, viewer } = this;
    if (all.length === 0) return viewer.say("Nothing was measured yet.");
    const at = all.findIndex((one) => one.key === viewer.state.chosen);
    const next = all[(at + by + all.length) % all.length];
    viewer.state.plane = next.plane;
    viewer.lead(next.visit, next.lines[0][0]);
    this.pick(next.key, `${next.lesion} is chosen.`);
  }

  forget() {
    const { viewer } = this;
    const { chosen } = viewer.state;
    if (!chosen) return viewer.say("Choose a measurement first.");
    this.draft = null;
    this.sent = this.sent.filter((one) => one.key !== chosen);
    viewer.tell("forgotten", chosen);
    viewer.set({ chosen: "" }, "The measurement was deleted.");
  }
}

/** @param {Measurement} drawn */
const shapeOf = ({ lines }) => JSON.stringify(lines);

// Planes, places and how they come to the screen. Nothing here knows of pixels' values.

/** @typedef {import("./nouns.js").Point} Point */
/** @typedef {import("./nouns.js").Grid} Grid */
/** @typedef {import("./nouns.js").PlaneName} PlaneName */

/**
 * A plane as it hangs: `u` runs to the right of the screen, `v` down (up where `flip`), `w`
 * through the slices; `down` is where the wheel leads.
 * @typedef {{u: number, v: number, w: number, flip: boolean, down: number, letters: string[]}} Plane
 */

/** Letters stand left, right, top, bottom: the patient's right is on the left, as radiologists hang.
 * @type {Record<PlaneName, Plane>} */
export const PLANES = {
  axial: { u: 0, v: 1, w: 2, flip: false, down: -1, letters: ["R", "L", "A", "P"] },
  coronal: { u: 0, v: 2, w: 1, flip: true, down: 1, letters: ["R", "L", "S", "I"] },
  sagittal: { u: 1, v: 2, w: 0, flip: true, down: 1, letters: ["A", "P", "S", "I"] },
};

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The place of a voxel. @param {Grid} grid @param {Point} index @returns {Point} */
export const placeOf = (grid, index) =>
  /** @type {Point} */ (index.map((n, a) => grid.origin[a] + n * grid.spacing[a]));

/** Where a place lies between the voxels of a grid. @param {Grid} grid @param {Point} place
 * @returns {Point} */
export const indexOf = (grid, place) =>
  /** @type {Point} */ (place.map((mm, a) => (mm - grid.origin[a]) / grid.spacing[a]));

/** The nearest voxel, or null outside the grid. @param {Grid} grid @param {Point} place
 * @returns {Point | null} */
export function voxelAt(grid, place) {
  const voxel = indexOf(grid, place).map(Math.round);
  const inside = voxel.every((n, a) => n >= 0 && n < grid.size[a]);
  return inside ? /** @type {Point} */ (voxel) : null;
}

/** The middle of a grid. @param {Grid} grid @returns {Point} */
export const middleOf = (grid) =>
  placeOf(grid, /** @type {Point} */ (grid.size.map((n) => (n - 1) / 2)));

/** How far a grid reaches along an axis, with its outer voxels, mm. @param {Grid} grid
 * @param {number} axis */
export const extentOf = (grid, axis) => grid.size[axis] * grid.spacing[axis];

/** An affine map, (4, 4) row by row, of a place. @param {number[]} m @param {Point} p
 * @returns {Point} */
export const apply = (m, p) =>
  /** @type {Point} */ (
    [0, 4, 8].map((r) => m[r] * p[0] + m[r + 1] * p[1] + m[r + 2] * p[2] + m[r + 3])
  );

/** The map that leads back. @param {number[]} m @returns {number[]} */
export function inverse(m) {
  const [a, b, c, tx, d, e, f, ty, g, h, i, tz] = m;
  const rows = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  const det = a * rows[0][0] + b * rows[1][0] + c * rows[2][0];
  const out = rows.flatMap((row) => {
    const [p, q, r] = row.map((n) => n / det);
    return [p, q, r, -(p * tx + q * ty + r * tz)];
  });
  return [...out, 0, 0, 0, 1];
}

/** @param {Point} p @param {Point} q @param {number} [sign] @returns {Point} */
export const add = (p, q, sign = 1) =>
  /** @type {Point} */ (p.map((mm, a) => mm + sign * q[a]));

/**
 * How a plane comes to a canvas: `scale` in pixels a mm, `centre` is the place in the middle.
 * @typedef {{plane: Plane, scale: number, centre: Point, width: number, height: number}} View
 */

/** @param {View} view @param {Point} place @returns {[number, number]} */
export const toScreen = (view, place) => {
  const { u, v, flip } = view.plane;
  const down = (place[v] - view.centre[v]) * (flip ? -1 : 1);
  return [
    view.width / 2 + (place[u] - view.centre[u]) * view.scale,
    view.height / 2 + down * view.scale,
  ];
};

/** The place under a point of the canvas, in the slice through `at`. @param {View} view
 * @param {[number, number]} screen @param {Point} at @returns {Point} */
export function toPlace(view, screen, at) {
  const { u, v, flip } = view.plane;
  const place = /** @type {Point} */ ([...at]);
  place[u] = view.centre[u] + (screen[0] - view.width / 2) / view.scale;
  place[v] = view.centre[v] + ((screen[1] - view.height / 2) / view.scale) * (flip ? -1 : 1);
  return place;
}

/** Pixels a mm at which a scan fits whole around this centre. @param {Plane} plane
 * @param {Grid} grid @param {Point} centre @param {number} width @param {number} height */
export function fitting(plane, grid, centre, width, height) {
  const middle = middleOf(grid);
  const needs = [plane.u, plane.v].map(
    (axis) => extentOf(grid, axis) + 2 * Math.abs(centre[axis] - middle[axis]),
  );
  return Math.min(width / needs[0], height / needs[1]);
}

/** Position along an axis of the patient, as scanners write it: R/L, A/P or I/S and mm.
 * @param {Point} position @param {number[]} direction @param {Point} place @param {number} axis */
export function inPatient(position, direction, place, axis) {
  const mm = position[axis] + [0, 1, 2].reduce((s, a) => s + direction[3 * axis + a] * place[a], 0);
  const letter = [["R", "L"], ["A", "P"], ["I", "S"]][axis][mm < 0 ? 0 : 1];
  return `${letter} ${Math.abs(mm).toFixed(1)} mm`;
}

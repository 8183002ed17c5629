// A map over a scan (tumour, lungs, saliency) on its own coarse grid, cut by a plane.

/** @typedef {import("./geometry.js").Plane} Plane */
/** @typedef {import("./volume.js").Volume} Volume */
/** @typedef {import("./nouns.js").Point} Point */

/**
 * One cut through a map: `values` row by row, `v` growing; never flipped.
 * @typedef {{values: Float32Array, width: number, height: number, below: number, above: number}} Cut
 */

/** The last cut of each map: where only the window or the crosshair changes, it is drawn again.
 * @type {WeakMap<Volume, {plane: Plane, mm: number, cut: Cut}>} */
const last = new WeakMap();

/** The map in the slice at `mm`, interpolated between its own slices; null beyond its ends.
 * @param {Volume} map @param {Plane} plane @param {number} mm @returns {Cut | null} */
export function cut(map, plane, mm) {
  const known = last.get(map);
  if (known?.plane === plane && known.mm === mm) return known.cut;
  const { size, spacing, origin } = map.source;
  const at = (mm - origin[plane.w]) / spacing[plane.w];
  if (!map.complete || at < -0.5 || at > size[plane.w] - 0.5) return null;
  const fresh = cutAt(map, plane, at);
  last.set(map, { plane, mm, cut: fresh });
  return fresh;
}

/** @param {Volume} map @param {Plane} plane @param {number} at  in slices of the map
 * @returns {Cut} */
function cutAt(map, plane, at) {
  const { size } = map.source;
  const below = Math.min(Math.max(Math.floor(at), 0), size[plane.w] - 1);
  const above = Math.min(below + 1, size[plane.w] - 1);
  const part = Math.min(Math.max(at - below, 0), 1);
  const strides = [1, size[0], size[0] * size[1]];
  const width = size[plane.u];
  const height = size[plane.v];
  const values = new Float32Array(width * height);
  const [su, sv, sw] = [strides[plane.u], strides[plane.v], strides[plane.w]];
  for (let row = 0, n = 0; row < height; row++) {
    let a = below * sw + row * sv;
    let b = above * sw + row * sv;
    for (let column = 0; column < width; column++, n++, a += su, b += su) {
      values[n] = map.data[a] + (map.data[b] - map.data[a]) * part;
    }
  }
  return { values, width, height, below, above };
}

/** The value at the nearest voxel of a cut's two slices, the larger of both: for labels.
 * @param {Volume} map @param {Plane} plane @param {Cut} at @param {number} column
 * @param {number} row */
export function labelAt(map, plane, at, column, row) {
  const { size } = map.source;
  const strides = [1, size[0], size[0] * size[1]];
  const here = column * strides[plane.u] + row * strides[plane.v];
  const slices = [at.below, at.above].map((n) => map.data[here + n * strides[plane.w]]);
  return Math.max(...slices);
}

/** How much of a map lies at each of its slices: the largest is 1. @param {Volume} map
 * @param {Plane} plane @returns {Float32Array} */
export function profile(map, plane) {
  const { size } = map.source;
  const amounts = new Float32Array(size[plane.w]);
  const strides = [1, size[0], size[0] * size[1]];
  for (let n = 0; n < map.data.length; n++) {
    const value = map.data[n];
    if (value) amounts[Math.floor(n / strides[plane.w]) % size[plane.w]] += Math.abs(value);
  }
  const most = Math.max(...amounts, 1e-9);
  return amounts.map((amount) => amount / most);
}

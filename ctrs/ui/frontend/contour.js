// Lines of equal value through a grid: marching squares.

/**
 * The line where `values` pass `level`, as segments u, v, u, v, … in voxels of the grid.
 * A segment is found where the corners of a cell lie on both sides; where the cell is a saddle,
 * its mean decides which corners belong together.
 * @param {Float32Array} values  row by row @param {number} width @param {number} height
 * @param {number} level @returns {number[]}
 */
export function contour(values, width, height, level) {
  /** @type {number[]} */
  const segments = [];
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      const n = row * width + column;
      const a = values[n];
      const b = values[n + 1];
      const c = values[n + width + 1];
      const d = values[n + width];
      const inside = +(a >= level) | (+(b >= level) << 1) | (+(c >= level) << 2) | (+(d >= level) << 3);
      if (inside === 0 || inside === 15) continue;
      const edges = crossings(inside, (a + b + c + d) / 4 >= level);
      for (const edge of edges) segments.push(...pointOn(edge, column, row, [a, b, c, d], level));
    }
  }
  return segments;
}

/** Edges that the line crosses, two a segment: 0 top, 1 right, 2 bottom, 3 left.
 * @type {Record<number, number[]>} */
const EDGES = {
  1: [3, 0], 2: [0, 1], 3: [3, 1], 4: [1, 2], 6: [0, 2], 7: [3, 2],
  8: [2, 3], 9: [2, 0], 11: [2, 1], 12: [1, 3], 13: [1, 0], 14: [0, 3],
};

/** @param {number} inside  one bit a corner @param {boolean} filled  the middle is inside */
function crossings(inside, filled) {
  if (inside === 5) return filled ? [0, 1, 2, 3] : [3, 0, 1, 2];
  if (inside === 10) return filled ? [3, 0, 1, 2] : [0, 1, 2, 3];
  return EDGES[inside];
}

/** @param {number} edge @param {number} u @param {number} v @param {number[]} corners
 * @param {number} level @returns {[number, number]} */
function pointOn(edge, u, v, [a, b, c, d], level) {
  const share = (/** @type {number} */ p, /** @type {number} */ q) => (level - p) / (q - p);
  if (edge === 0) return [u + share(a, b), v];
  if (edge === 1) return [u + 1, v + share(b, c)];
  if (edge === 2) return [u + share(d, c), v + 1];
  return [u, v + share(a, d)];
}

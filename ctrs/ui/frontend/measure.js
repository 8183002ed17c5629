// Lengths and diameters, in mm; what python checks again before it keeps them.

/** @typedef {import("./nouns.js").Point} Point */
/** @typedef {import("./nouns.js").Measurement} Measurement */
/** @typedef {[Point, Point]} Line */

/** @param {Line} line */
export const lengthOf = ([p, q]) => Math.hypot(q[0] - p[0], q[1] - p[1], q[2] - p[2]);

/** @param {Line} line @returns {Point} */
export const middleOfLine = ([p, q]) => /** @type {Point} */ (p.map((mm, a) => (mm + q[a]) / 2));

/** Of a ball of this volume, mm. @param {number} ml */
export const radiusOf = (ml) => Math.cbrt((3000 * ml) / (4 * Math.PI));

/** The line at right angles to `first`, in its plane, that lies under a drag from `start` to `end`.
 * @param {Line} first @param {Point} start @param {Point} end @param {number} through  the normal's axis
 * @returns {Line} */
export function atRightAngles(first, start, end, through) {
  const [u, v] = [0, 1, 2].filter((axis) => axis !== through);
  const along = [first[1][u] - first[0][u], first[1][v] - first[0][v]];
  const length = Math.hypot(...along) || 1;
  const across = [-along[1] / length, along[0] / length];
  const reach = (end[u] - start[u]) * across[0] + (end[v] - start[v]) * across[1];
  const other = /** @type {Point} */ ([...start]);
  other[u] += reach * across[0];
  other[v] += reach * across[1];
  return [start, other];
}

/** @param {Measurement} drawn */
export function words(drawn) {
  const mm = drawn.lines.map(lengthOf).sort((p, q) => q - p).map((n) => n.toFixed(1));
  return `${drawn.lesion} ${mm.join(" × ")} mm`;
}

/** A name that no lesion has: M1, M2, … @param {string[]} taken */
export function freeName(taken) {
  for (let n = 1; ; n++) if (!taken.includes(`M${n}`)) return `M${n}`;
}

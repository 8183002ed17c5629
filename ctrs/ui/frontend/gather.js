// Where the rows of a slice lie in memory, each without gaps, whichever way it cuts the scan.

/** @typedef {import("./geometry.js").Plane} Plane */
/** @typedef {import("./volume.js").Volume} Volume */
/** @typedef {import("./volume.js").Voxels} Voxels */

/** Row `v` begins at `start + v * pitch`. @typedef {{voxels: Voxels, start: number, pitch: number}} Rows */

// Of a sagittal slice every voxel lies in another line of the processor's cache, each beside its
// neighbours to the left and right: those slices are taken along, and the next steps are free.
const TOGETHER = 8;

/** Neighbouring sagittal slices, from slice `first` on, when `share` of the volume had arrived.
 * @typedef {{first: number, share: number, voxels: Voxels}} Block */

/** The last block of each volume. @type {WeakMap<Volume, Block>} */
const blocks = new WeakMap();

/** @param {Volume} volume @param {Plane} plane @param {number} slice @returns {Rows} */
export function gather(volume, plane, slice) {
  const [nx, ny, nz] = volume.source.size;
  const strides = [1, nx, nx * ny];
  if (plane.u === 0) {
    return { voxels: volume.data, start: slice * strides[plane.w], pitch: strides[plane.v] };
  }
  const first = slice - (slice % TOGETHER);
  let block = blocks.get(volume);
  if (block?.first !== first || block.share !== volume.share) {
    block = { first, share: volume.share, voxels: sagittals(volume, first, block?.voxels) };
    blocks.set(volume, block);
  }
  return { voxels: block.voxels, start: (slice - first) * ny * nz, pitch: ny };
}

/** Sagittal slices from `first` on, one after the other. @param {Volume} volume
 * @param {number} first @param {Voxels} [room]  of an older block, used again */
function sagittals({ data, source }, first, room) {
  const [nx, ny, nz] = source.size;
  const length = ny * nz;
  const many = Math.min(TOGETHER, nx - first);
  const kind = /** @type {any} */ (data.constructor);
  const voxels = room ?? new kind(TOGETHER * length);
  for (let row = 0, from = first; row < length; row++, from += nx) {
    for (let n = 0, to = row; n < many; n++, to += length) voxels[to] = data[from + n];
  }
  return voxels;
}

// From voxels to the pixels of one slice, in any of the three planes.

import { gather } from "./gather.js";
import { clamp } from "./geometry.js";

/** @typedef {import("./geometry.js").Plane} Plane */
/** @typedef {import("./volume.js").Volume} Volume */

/** What has not arrived yet. */
export const ABSENT = 0xff302820;

/**
 * The pixels of a slice. The first one's centre lies at `u0`, `v0` mm, the next ones `du` to the
 * right and `dv` downwards.
 * @typedef {{width: number, height: number, u0: number, v0: number, du: number, dv: number}} Raster
 */

/**
 * The raster of a plane. Along z, where slices are thick, it is as fine as within them: what lies
 * between two slices is interpolated.
 * @param {Volume} volume @param {Plane} plane @returns {Raster}
 */
export function rasterOf(volume, plane) {
  const { size, spacing, origin } = volume.source;
  const { u, v, flip } = plane;
  const fine = Math.min(spacing[u], spacing[v]);
  const length = (size[v] - 1) * spacing[v];
  const height = v === 2 ? Math.max(size[v], Math.round(length / fine) + 1) : size[v];
  const dv = height > 1 ? length / (height - 1) : spacing[v];
  const v0 = origin[v] + (flip ? length : 0);
  return { width: size[u], height, u0: origin[u], v0, du: spacing[u], dv: flip ? -dv : dv };
}

/** The slice nearest to a place along its normal, or -1 beyond the scan's ends.
 * @param {Volume} volume @param {Plane} plane @param {number} mm */
export function sliceAt(volume, plane, mm) {
  const { size, spacing, origin } = volume.source;
  const slice = Math.round((mm - origin[plane.w]) / spacing[plane.w]);
  return slice >= 0 && slice < size[plane.w] ? slice : -1;
}

/**
 * Fill `pixels` with a slice.
 * @param {Volume} volume @param {Plane} plane @param {number} slice
 * @param {Raster} raster @param {Uint32Array} table  see `windows.js`
 * @param {Uint32Array} pixels  row by row
 */
export function reslice(volume, plane, slice, raster, table, pixels) {
  const { size, spacing, origin } = volume.source;
  const { voxels, start, pitch } = gather(volume, plane, slice);
  const { width } = raster;
  for (let row = 0; row < raster.height; row++) {
    const mm = raster.v0 + row * raster.dv;
    const at = clamp((mm - origin[plane.v]) / spacing[plane.v], 0, size[plane.v] - 1);
    const below = Math.min(Math.floor(at + 1e-6), size[plane.v] - 1);
    const above = Math.min(below + 1, size[plane.v] - 1);
    const part = Math.max(at - below, 0);
    const here = plane.v === 2 ? [below, above] : [plane.w === 2 ? slice : below];
    const out = pixels.subarray(row * width, (row + 1) * width);
    const from = start + below * pitch;
    if (!here.every((k) => volume.have[k])) out.fill(ABSENT);
    else if (part < 1e-4) copyRow(voxels, from, table, out);
    else mixRows(voxels, from, start + above * pitch, part, table, out);
  }
}

/** @param {import("./volume.js").Voxels} voxels @param {number} from @param {Uint32Array} table
 * @param {Uint32Array} out */
function copyRow(voxels, from, table, out) {
  for (let n = 0; n < out.length; n++) out[n] = table[voxels[from + n] + 32768];
}

/** HU are mixed, not greys: a narrow window would show steps. @param {import("./volume.js").Voxels} voxels
 * @param {number} a @param {number} b @param {number} part  of the second row
 * @param {Uint32Array} table @param {Uint32Array} out */
function mixRows(voxels, a, b, part, table, out) {
  for (let n = 0; n < out.length; n++) {
    const low = voxels[a + n];
    out[n] = table[(low + (voxels[b + n] - low) * part + 32768.5) | 0]; // rounded: never below 0
  }
}

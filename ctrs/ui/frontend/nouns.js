// What the other files speak of. Types only: nothing here runs.

/**
 * A place in a scan: mm (x, y, z) from the centre of its first voxel; x grows to the patient's
 * left, y to the back, z to the head.
 * @typedef {[number, number, number]} Point
 */

/**
 * A regular grid inside a scan. `origin` is the place of the centre of its first voxel.
 * @typedef {{size: Point, spacing: Point, origin: Point}} Grid
 */

/**
 * What python sends of a voxel array: where it lies and where its slabs are fetched.
 * @typedef {Grid & {id: string, url: string, slices: number}} Source
 */

/**
 * @typedef {object} ScanSource
 * @property {string} label
 * @property {Source} ct
 * @property {Point} position  of the first voxel's centre in the patient, LPS mm
 * @property {number[]} direction  nine cosines, row by row, as SimpleITK gives them
 * @property {Source | null} tumour  share of tumour, 0 to 255
 * @property {Source | null} lesions  which lesion, 0 for none
 * @property {Source | null} lungs  share of lung, 0 to 255
 * @property {Source | null} saliency  -127 lowered, 127 raised the predicted survival
 * @property {string[]} names  of the lesions, by their value in `lesions`; the first is ""
 */

/**
 * @typedef {object} Lesion
 * @property {string} name
 * @property {(Point | null)[]} at  in both scans
 * @property {(number | null)[]} ml  in both scans
 */

/**
 * @typedef {object} Measurement
 * @property {string} key
 * @property {string} lesion
 * @property {number} visit  0 = baseline, 1 = follow-up
 * @property {PlaneName} plane
 * @property {[Point, Point][]} lines  the longest diameter, and one at right angles to it
 * @property {string} [by]
 */

/** @typedef {"axial" | "coronal" | "sagittal"} PlaneName */

/**
 * Everything python says; the same object shape at each call.
 * @typedef {object} Data
 * @property {string} pair
 * @property {ScanSource[]} scans
 * @property {{matrix: number[], offset: Point, sure: boolean, how: string}} link
 * @property {Lesion[]} lesions
 * @property {(Point | null)[]} strongest  where each scan moved the model's answer most
 * @property {Measurement[]} measurements
 * @property {{n: number, visit: number, at: Point} | null} goto
 * @property {string} view  from the page's address, or ""
 * @property {string} waiting  what is still being computed, in words, or ""
 */

export {};

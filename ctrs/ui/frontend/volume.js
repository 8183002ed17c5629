// Voxels as they come from the server, slab by slab, and kept as long as the browser's tab lives.

/** @typedef {import("./nouns.js").Source} Source */

/** @typedef {Int16Array | Uint8Array | Int8Array} Voxels */

const AT_ONCE = 3;
const TRIES = 3;
const PAUSE_MS = 300;
const KEPT_BYTES = 700e6; // four thin-slice scans

export class Volume {
  /** @param {Source} source @param {(length: number) => Voxels} make */
  constructor(source, make) {
    this.source = source;
    this.data = make(source.size[0] * source.size[1] * source.size[2]);
    this.have = new Uint8Array(source.size[2]);
    this.slabs = Math.ceil(source.size[2] / source.slices);
    /** @type {("missing" | "coming" | "there" | "failed")[]} */
    this.states = Array(this.slabs).fill("missing");
    this.wanted = source.size[2] >> 1;
    this.running = 0;
    /** HTTP status of the last failure; 0 where the server did not answer. */
    this.status = 0;
    /** @type {Set<() => void>} */
    this.watchers = new Set();
  }

  get complete() {
    return this.states.every((state) => state === "there");
  }

  get failed() {
    return this.states.includes("failed");
  }

  /** How much is there, 0 to 1. */
  get share() {
    return this.states.filter((state) => state === "there").length / this.slabs;
  }

  /** Fetch what is missing, what lies nearest to a slice first. @param {number} [slice] */
  load(slice = this.wanted) {
    this.wanted = slice;
    while (this.running < AT_ONCE) {
      const next = this.#nearest();
      if (next < 0) return;
      this.states[next] = "coming";
      this.running += 1;
      this.#fetch(next).finally(() => {
        this.running -= 1;
        this.watchers.forEach((tell) => tell());
        this.load();
      });
    }
  }

  /** Try again what failed, and from now on at this address. @param {string} url */
  retry(url = this.source.url) {
    this.source = { ...this.source, url };
    this.states = this.states.map((state) => (state === "failed" ? "missing" : state));
    this.load();
  }

  #nearest() {
    const middle = Math.floor(this.wanted / this.source.slices);
    let best = -1;
    this.states.forEach((state, n) => {
      const nearer = best < 0 || Math.abs(n - middle) < Math.abs(best - middle);
      if (state === "missing" && nearer) best = n;
    });
    return best;
  }

  /** @param {number} slab */
  async #fetch(slab) {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#put(slab, await this.#ask(slab));
        this.states[slab] = "there";
        return;
      } catch {
        if (attempt >= TRIES || this.status === 403 || this.status === 404) {
          this.states[slab] = "failed";
          return;
        }
        await new Promise((go) => setTimeout(go, PAUSE_MS * 2 ** attempt));
      }
    }
  }

  /** @param {number} slab */
  async #ask(slab) {
    this.status = 0;
    const url = new URL(this.source.url.replace("{slab}", String(slab)), document.baseURI);
    const answer = await fetch(url, { credentials: "same-origin" });
    this.status = answer.status;
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.arrayBuffer();
  }

  /** @param {number} slab @param {ArrayBuffer} bytes */
  #put(slab, bytes) {
    const [x, y, z] = this.source.size;
    const first = slab * this.source.slices;
    const slices = Math.min(this.source.slices, z - first);
    if (bytes.byteLength !== slices * x * y * this.data.BYTES_PER_ELEMENT) {
      throw new Error("a slab has another length than its slices");
    }
    const kind = /** @type {any} */ (this.data.constructor);
    this.data.set(new kind(bytes), first * x * y);
    this.have.fill(1, first, first + slices);
  }
}

/** By content, least recently used first. @type {Map<string, Volume>} */
export const kept = new Map();

/** The voxels of a source: those of before, or on their way. @param {Source} source
 * @param {(length: number) => Voxels} make */
export function volumeOf(source, make) {
  const volume = kept.get(source.id) ?? new Volume(source, make);
  kept.delete(source.id);
  kept.set(source.id, volume);
  if (volume.source.url !== source.url) volume.retry(source.url);
  forgetOldest();
  return volume;
}

function forgetOldest() {
  let bytes = 0;
  for (const [id, volume] of [...kept].reverse()) {
    bytes += volume.data.byteLength;
    if (bytes > KEPT_BYTES && volume.watchers.size === 0) kept.delete(id);
  }
}

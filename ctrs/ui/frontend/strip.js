// A strip along the scroll bar: where the lesions are, and where the saliency is.

import { profile } from "./layer.js";
import { LOWERED, TUMOUR } from "./overlay.js";

/** @typedef {import("./geometry.js").Plane} Plane */
/** @typedef {import("./volume.js").Volume} Volume */

/** @param {CanvasRenderingContext2D} context @param {Volume} ct @param {Plane} plane
 * @param {Volume | null} tumour @param {Volume | null} saliency */
export function drawStrip(context, ct, plane, tumour, saliency) {
  const { width, height } = context.canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = "#333"; // faint yellow is seen on dark only
  context.fillRect(0, 0, width, height);
  if (tumour?.complete) drawHalf(context, ct, plane, tumour, TUMOUR, 0);
  if (saliency?.complete) drawHalf(context, ct, plane, saliency, `rgb(${LOWERED})`, 1);
}

/** One map in the upper (0) or lower (1) half, the darker the more. @param {CanvasRenderingContext2D} context
 * @param {Volume} ct @param {Plane} plane @param {Volume} map @param {string} colour
 * @param {number} half */
function drawHalf(context, ct, plane, map, colour, half) {
  const { width, height } = context.canvas;
  const axis = plane.w;
  const length = ct.source.size[axis] * ct.source.spacing[axis];
  const start = ct.source.origin[axis] - ct.source.spacing[axis] / 2;
  const thick = (map.source.spacing[axis] / length) * width;
  context.fillStyle = colour;
  profile(map, plane).forEach((amount, n) => {
    const mm = map.source.origin[axis] + (n - 0.5) * map.source.spacing[axis];
    context.globalAlpha = amount > 0.01 ? 0.25 + 0.75 * amount : 0;
    context.fillRect(((mm - start) / length) * width, (half * height) / 2, thick + 1, height / 2 - 1);
  });
  context.globalAlpha = 1;
}

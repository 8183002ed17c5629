// What streamlit calls: at first sight, at every change of what python says, and at the end.

import { Viewer } from "./viewer.js";

/** @typedef {{parentElement: ParentNode & object, data: import("./nouns.js").Data,
 *   setTriggerValue: (name: string, value: unknown) => void}} Component */

/** @type {WeakMap<object, Viewer>} */
const viewers = new WeakMap();

/** @param {Component} component @returns {() => void} */
export default function mount({ parentElement, data, setTriggerValue }) {
  let viewer = viewers.get(parentElement);
  if (viewer && viewer.data.pair !== data.pair) {
    viewer.close();
    viewer = undefined;
  }
  if (viewer) viewer.update(data, setTriggerValue);
  else viewers.set(parentElement, new Viewer(parentElement, data, setTriggerValue));
  return () => {
    viewers.get(parentElement)?.close();
    viewers.delete(parentElement);
  };
}

// The picture before and after, one over the other, with a divider that a range input moves.

import { word } from "./words.js";
import { reduced } from "./api.js";

const LARGEST_ENLARGEMENT = 3;
const DISPLAY_PX = 2048;

const stage = document.getElementById("stage");
const pictures = document.getElementById("pictures");
const before = document.getElementById("before");
const after = document.getElementById("after");
const split = document.getElementById("split");
const zoom = document.getElementById("zoom");

let size = { width: 3, height: 2 };

function place() {
  pictures.style.setProperty("--split", `${split.value}%`);
  split.setAttribute("aria-valuetext", `${split.value} %`);
}

function fit() {
  const { width, height } = size;
  if (zoom.getAttribute("aria-pressed") === "true") {
    const scale = 1 / devicePixelRatio;
    pictures.style.width = `${width * scale}px`;
    pictures.style.height = `${height * scale}px`;
    return;
  }
  const room = { width: stage.clientWidth, height: innerHeight * (innerWidth > 860 ? 0.74 : 0.64) };
  const scale = Math.min(room.width / width, room.height / height, LARGEST_ENLARGEMENT);
  pictures.style.width = `${width * scale}px`;
  pictures.style.height = `${height * scale}px`;
}

function follow(event) {
  const box = pictures.getBoundingClientRect();
  split.value = (100 * (event.clientX - box.left)) / box.width;
  place();
}

export function startCompare() {
  split.addEventListener("input", place);
  pictures.addEventListener("pointerdown", (event) => {
    pictures.setPointerCapture(event.pointerId);
    follow(event);
  });
  pictures.addEventListener("pointermove", (event) => {
    if (event.buttons) follow(event);
  });
  zoom.addEventListener("click", () => {
    zoom.setAttribute("aria-pressed", String(zoom.getAttribute("aria-pressed") !== "true"));
    // Seen in part, it has to be scrolled to by keys as well.
    stage.tabIndex = zoom.getAttribute("aria-pressed") === "true" ? 0 : -1;
    fit();
  });
  new ResizeObserver(fit).observe(stage);
  place();
}

// Show two addresses of one picture; either may be null, and then shows what the other does.
export function show(name, dimensions, beforeUrl, afterUrl) {
  size = dimensions;
  fit();
  const shown = { [before.id]: beforeUrl ?? afterUrl, [after.id]: afterUrl ?? beforeUrl };
  for (const image of [before, after]) {
    const url = shown[image.id];
    if (url && image.getAttribute("src") !== url) image.src = url;
    if (!url) image.removeAttribute("src");
    image.alt = word(`alt-${image.id}`, { name });
  }
  split.setAttribute("aria-label", word("divider"));
}

// Return an address that shows a file: the file's own, or that of a reduced copy where no browser knows it.
export async function displayable(blob, name) {
  const url = URL.createObjectURL(blob);
  const probe = new Image();
  probe.src = url;
  try {
    await probe.decode();
    return url;
  } catch {
    URL.revokeObjectURL(url);
  }
  return URL.createObjectURL(await reduced(blob, name, DISPLAY_PX));
}

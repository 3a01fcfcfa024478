// The photographs on the page: what each is, how it is to be restored, and the work on them.

import { ApiError, jobName, getJson, recognise, restore } from "./api.js";
import { displayable } from "./compare.js";

const SETTLE_MS = 500;
const PROGRESS_MS = 600;
// What acts on an enlarged picture, whatever else is named.
const ENLARGING = "downsampling";

export const MOST_ITEMS = 200;

let bundle = null;
let changed = () => {};
let numbered = 0;
let reading = false;
let restoring = null;

export const items = [];
export let current = null;

export function startItems(facts, onChange) {
  bundle = facts;
  changed = onChange;
}

export function select(item) {
  current = item;
  changed();
  if (item?.info) quick(item);
  pump();
}

export function add(files) {
  for (const file of files) {
    const item = {
      id: ++numbered,
      file,
      name: file.name || "image.png",
      // null stands for what is recognised.
      settings: { weights: null, strength: 1, quality: "normal", scale: 1, format: "" },
      changedAt: 0,
    };
    if (file.size > bundle.limits.max_mb * 1e6) {
      item.error = new ApiError("too_many_bytes", `${item.name} is too large`, bundle.limits);
    }
    items.push(item);
  }
  if (!current || !items.includes(current)) select(items[0] ?? null);
  changed();
  pump();
}

export function remove(item) {
  item.removed = true;
  item.abort?.abort();
  for (const url of [item.quickUrl, item.thumbUrl, item.beforeUrl, item.full?.url, item.full?.blobUrl]) {
    if (url) URL.revokeObjectURL(url);
  }
  const place = items.indexOf(item);
  items.splice(place, 1);
  if (current === item) select(items[Math.min(place, items.length - 1)] ?? null);
  changed();
}

// The weights that act, after what was recognised or was moved.
export function weightsOf(item) {
  return item.settings.weights ?? item.info?.weights ?? {};
}

// How a composition is written: "noise=0.7,rain=0.3", without what does not act.
export function written(weights) {
  return Object.entries(weights)
    .filter(([, weight]) => weight > 0)
    .map(([name, weight]) => `${name}=${weight}`)
    .join(",");
}

export function change(item, settings) {
  Object.assign(item.settings, settings);
  item.changedAt = Date.now();
  delete item.error;
  if (restoring === item) item.abort.abort();
  changed();
  quick(item);
  setTimeout(pump, SETTLE_MS + 20);
}

// Move one bar; where all weights share 1, the others make room.
export function moveBar(item, name, weight) {
  const weights = { ...weightsOf(item), [name]: weight };
  const others = Object.keys(weights).filter((other) => other !== name);
  const sum = others.reduce((total, other) => total + weights[other], 0);
  if (!bundle.in_full && sum + weight > 1) {
    for (const other of others) weights[other] = Math.floor((1000 * weights[other] * (1 - weight)) / sum) / 1000;
  }
  change(item, { weights });
}

function keyOf(item) {
  return JSON.stringify(item.settings);
}

export function isDone(item) {
  return item.full?.key === keyOf(item);
}

// The composition and the strength to ask for; a composition of null stands for what is recognised.
export function asked(item) {
  const { weights, strength, scale } = item.settings;
  if (weights === null || written(weights)) return { as: weights && written(weights), strength };
  return scale > 1 ? { as: ENLARGING, strength } : { as: null, strength: 0 };
}

function isLeftAlone(item) {
  return item.settings.scale === 1 && asked(item).strength === 0;
}

function pump() {
  readNext();
  restoreNext();
}

function firstOf(wanted) {
  return current && wanted(current) ? current : items.find(wanted);
}

async function readNext() {
  const item = firstOf((each) => !each.info && !each.error);
  if (reading || !item) return;
  reading = true;
  try {
    const info = await recognise(item.file, item.name, bundle.preview_px);
    item.thumbUrl = URL.createObjectURL(info.preview);
    item.info = info;
  } catch (error) {
    item.error = error;
  }
  reading = false;
  changed();
  if (item === current && item.info) quick(item);
  pump();
}

// Restore the small copy, at once and again as long as the bars move.
async function quick(item) {
  if (item.quickRunning || !item.info || isDone(item)) return;
  const key = keyOf(item);
  if (item.quickKey === key) return;
  const as = written(weightsOf(item));
  if (item.settings.strength === 0 || (!as && (bundle.recognises || item.settings.weights))) {
    item.quickKey = key;
    item.quickUrl = item.thumbUrl;
    changed();
    return;
  }
  item.quickRunning = true;
  try {
    const { strength } = item.settings;
    const { blob } = await restore(item.info.preview, { as, strength, format: "png", name: "preview.png" });
    if (item.quickUrl && item.quickUrl !== item.thumbUrl) URL.revokeObjectURL(item.quickUrl);
    item.quickUrl = URL.createObjectURL(blob);
    item.quickKey = key;
  } catch {
    // The full photograph follows, and says what is wrong.
    item.quickKey = key;
  }
  item.quickRunning = false;
  changed();
  if (!item.removed && key !== keyOf(item)) quick(item);
}

async function restoreNext() {
  const now = Date.now();
  const item = firstOf(
    (each) => each.info && !each.error && !isDone(each) && now - each.changedAt >= SETTLE_MS,
  );
  if (restoring || !item) return;
  restoring = item;
  item.abort = new AbortController();
  changed();
  const key = keyOf(item);
  try {
    item.beforeUrl ??= await displayable(item.file, item.name);
    const made = await restoreInFull(item);
    const url = made.blob === item.file ? item.beforeUrl : await displayable(made.blob, made.report.name);
    if (item.full && item.full.url !== item.beforeUrl) URL.revokeObjectURL(item.full.url);
    if (item.full?.blobUrl) URL.revokeObjectURL(item.full.blobUrl);
    item.full = { ...made, url, key };
  } catch (error) {
    if (error.name !== "AbortError") item.error = error;
  }
  delete item.progress;
  delete item.queued;
  restoring = null;
  changed();
  pump();
}

async function restoreInFull(item) {
  const { quality, scale, format } = item.settings;
  if (isLeftAlone(item) && !format) {
    const report = { name: item.name, seconds: 0, notes: [], weights: {}, unchanged: true };
    return { blob: item.file, report };
  }
  const job = jobName();
  const parameters = { name: item.name, ...asked(item), quality, scale, format, job };
  const timer = setInterval(async () => {
    try {
      item.progress = await getJson(`api/jobs/${job}`);
      delete item.queued;
      changed();
    } catch {
      // It has not begun, or has ended.
    }
  }, PROGRESS_MS);
  try {
    return await restore(item.file, parameters, item.abort.signal, (seconds) => {
      item.queued = seconds;
      changed();
    });
  } finally {
    clearInterval(timer);
  }
}

export function isRestoring(item) {
  return restoring === item;
}

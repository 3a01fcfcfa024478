// What is on the page, and what is done when something is dropped, moved or pressed.

import { getBlob, getJson } from "./api.js";
import { show, startCompare } from "./compare.js";
import * as work from "./items.js";
import { degradationName, errorText, language, loadWords, noteText, setLanguage, word, wordOr } from "./words.js";
import { zip } from "./zip.js";

const at = (id) => document.getElementById(id);
let bundle = null;
let shownFor = null;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function alertUser(text) {
  const close = make("button", { type: "button", textContent: "×", ariaLabel: word("close") });
  const box = make("p", { className: "alert" }, make("span", { textContent: text }), close);
  close.addEventListener("click", () => box.remove());
  at("alerts").replaceChildren(box);
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function addFiles(files) {
  const list = [...files];
  if (!list.length) return;
  if (work.items.length + list.length > work.MOST_ITEMS) {
    alertUser(word("too-many", { count: work.items.length + list.length, limit: work.MOST_ITEMS }));
    return;
  }
  work.add(list);
}

// The bars are made anew for another photograph only, so that the one that is moved keeps the focus.
function makeBars(item) {
  const { weights, uncertain } = item.info;
  const seen = Object.keys({ ...weights, ...uncertain, ...item.settings.weights });
  const ordered = (names) => names.map((name) => makeBar(item, name));
  at("bars").replaceChildren(...ordered(seen));
  at("other-bars").replaceChildren(...ordered(bundle.adapters.filter((name) => !seen.includes(name))));
  at("others").hidden = seen.length === bundle.adapters.length;
  at("others").open = !seen.length;
}

function makeBar(item, name) {
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.01, id: `bar-${name}` });
  input.dataset.adapter = name;
  input.addEventListener("input", () => work.moveBar(item, name, Number(input.value)));
  const sure = item.info.probabilities[name];
  const percent = Math.round(100 * (sure ?? 0));
  const key = name in item.info.weights ? "certain" : name in item.info.uncertain ? "perhaps" : null;
  const text = make("small", { textContent: key ? ` ${word(key, { percent })}` : "" });
  const label = make("label", { htmlFor: input.id }, degradationName(name), text);
  return make("div", { className: "bar" }, label, input, make("output", { htmlFor: input.id }));
}

function showBars(item) {
  const key = `${item.id} ${language}`;
  if (shownFor !== key) makeBars(item);
  shownFor = key;
  const weights = work.weightsOf(item);
  for (const input of document.querySelectorAll("[data-adapter]")) {
    const weight = weights[input.dataset.adapter] ?? 0;
    if (document.activeElement !== input || Number(input.value) !== weight) input.value = weight;
    input.nextElementSibling.value = weight.toFixed(2);
  }
  const moved = item.settings.weights !== null;
  at("reset").disabled = !moved;
  const untouched = item.settings.scale > 1 ? "clean-enlarged" : "clean";
  const seen = Object.keys(item.info.weights).length ? "seen" : untouched;
  at("summary").textContent = word(moved ? "moved" : bundle.recognises ? seen : "blind");
}

function stateOf(item) {
  if (item.error) return word("failed", { message: errorText(item.error) });
  if (!item.info) return word("reading");
  if (work.isDone(item)) {
    if (item.full.report.unchanged) return word("as-is");
    return word("done", { seconds: item.full.report.seconds.toFixed(1) });
  }
  if (item.queued !== undefined) return word("queued", { seconds: item.queued });
  if (!work.isRestoring(item)) return word(item.quickUrl && item === work.current ? "previewing" : "waiting");
  const { done, total } = item.progress ?? {};
  return total > 1 ? word("restoring-part", { done, total }) : word("restoring");
}

function showCurrent(item) {
  const done = work.isDone(item);
  const { width, height } = item.info ?? { width: 3, height: 2 };
  const size = { width: width * item.settings.scale, height: height * item.settings.scale };
  const afterUrl = done ? item.full.url : (item.quickUrl ?? item.thumbUrl);
  show(item.name, size, item.beforeUrl ?? item.thumbUrl, afterUrl);
  at("state").textContent = item.error ? "" : stateOf(item);
  at("failure").hidden = !item.error;
  at("failure").textContent = item.error ? `${item.name} – ${stateOf(item)}` : "";
  // What was never seen has nothing to be compared.
  for (const id of ["stage", "split", "zoom"]) at(id).hidden = !item.info;
  const working = !done && !item.error;
  at("progress").hidden = !working;
  const { done: finished, total } = item.progress ?? {};
  if (total > 1) at("progress").value = finished / total;
  else at("progress").removeAttribute("value");
  at("controls").hidden = !item.info;
  if (item.info) showControls(item, done);
}

function showControls(item, done) {
  showBars(item);
  const { strength, quality, scale, format } = item.settings;
  at("strength").value = Math.round(100 * strength);
  at("strength-value").value = `${Math.round(100 * strength)} %`;
  for (const radio of at("controls").elements.quality) radio.checked = radio.value === quality;
  at("scale").value = scale;
  at("format").value = format;
  const link = at("download");
  link.setAttribute("aria-disabled", String(!done));
  if (done) {
    link.href = item.full.blobUrl ??= URL.createObjectURL(item.full.blob);
    link.download = item.full.report.name;
  } else {
    link.removeAttribute("href");
  }
  const notes = done ? item.full.report.notes.filter((note) => note.code !== "unchanged") : [];
  at("notes").replaceChildren(...notes.map((note) => make("li", { textContent: noteText(note) })));
  at("apply-all").hidden = work.items.length < 2;
  const wanted = work.asked(item);
  const options = [wanted.as && `--as ${wanted.as}`, wanted.strength < 1 && `--strength ${wanted.strength}`];
  options.push(quality !== "normal" && `--quality ${quality}`);
  options.push(scale > 1 && `--scale ${scale}`);
  options.push(format && `--format ${format}`);
  const name = item.name.includes(" ") ? `"${item.name}"` : item.name;
  at("command").textContent = ["polyrestore restore", name, "-o restored", ...options.filter(Boolean)].join(" ");
}

function showBatch() {
  const { items, current } = work;
  at("batch").hidden = items.length < 2;
  const done = items.filter(work.isDone).length;
  const failed = items.filter((item) => item.error).length;
  const all = items.length;
  at("batch-state").textContent = word(failed ? "batch-failed" : "batch-state", { done, all, failed });
  at("batch-progress").value = all ? (done + failed) / all : 0;
  at("zip").disabled = !done || done + failed < all;
  document.title = all > 1 && done + failed < all ? word("title-working", { done, all }) : "polyrestore";
  const list = at("items");
  for (const row of [...list.children]) {
    if (!items.some((item) => item.row === row)) row.remove();
  }
  for (const item of items) {
    item.row ??= makeRow(item);
    if (!item.row.isConnected) list.append(item.row);
    const kind = item.error ? "failed" : work.isDone(item) ? "done" : "";
    item.row.className = `${kind} ${item === current ? "current" : ""}`;
    const pick = item.row.querySelector(".pick");
    if (item === current) pick.setAttribute("aria-current", "true");
    else pick.removeAttribute("aria-current");
    item.row.querySelector(".how").textContent = stateOf(item);
    item.row.querySelector(".remove").ariaLabel = word("remove", { name: item.name });
    const image = item.row.querySelector("img");
    if (item.thumbUrl && !image.src) image.src = item.thumbUrl;
  }
}

function makeRow(item) {
  const image = make("img", { alt: "" });
  const name = make("span", { className: "name", textContent: item.name });
  const pick = make("button", { type: "button", className: "pick" }, image, name, make("span", { className: "how" }));
  const remove = make("button", { type: "button", className: "remove", textContent: "×" });
  pick.addEventListener("click", () => work.select(item));
  remove.addEventListener("click", () => work.remove(item));
  return make("li", {}, pick, remove);
}

function render() {
  const item = work.current;
  document.body.classList.toggle("busy", item !== null);
  at("work").hidden = item === null;
  at("examples-part").hidden = item !== null;
  if (item) showCurrent(item);
  showBatch();
}

async function showExamples() {
  const examples = await getJson("api/examples");
  const rows = examples.map(({ name, title }) => {
    const image = make("img", { src: `api/examples/${name}`, alt: "", loading: "lazy" });
    const button = make("button", { type: "button" }, image, wordOr(`example.${name}`, {}, title));
    button.addEventListener("click", async () => {
      addFiles([new File([await getBlob(`api/examples/${name}`)], `${name}.png`, { type: "image/png" })]);
    });
    return make("li", {}, button);
  });
  at("examples").replaceChildren(...rows);
}

async function speak(code) {
  await setLanguage(code);
  at("language").value = code;
  localStorage.setItem("polyrestore-language", code);
  at("limits").textContent = word("limits", bundle.limits);
  await showExamples();
  render();
}

function listen() {
  at("language").addEventListener("change", (event) => speak(event.target.value));
  at("files").addEventListener("change", (event) => {
    addFiles(event.target.files);
    event.target.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    addFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => addFiles(event.clipboardData.files));
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("strength").addEventListener("input", (event) => {
    work.change(work.current, { strength: Number(event.target.value) / 100 });
  });
  for (const radio of at("controls").elements.quality) {
    radio.addEventListener("change", () => work.change(work.current, { quality: radio.value }));
  }
  at("scale").addEventListener("change", (event) => work.change(work.current, { scale: Number(event.target.value) }));
  at("format").addEventListener("change", (event) => work.change(work.current, { format: event.target.value }));
  at("reset").addEventListener("click", () => work.change(work.current, { weights: null }));
  at("apply-all").addEventListener("click", () => {
    for (const item of work.items) if (item !== work.current) work.change(item, { ...work.current.settings });
  });
  at("zip").addEventListener("click", async () => {
    const finished = work.items.filter(work.isDone);
    save(await zip(finished.map(({ full }) => ({ name: full.report.name, blob: full.blob }))), "restored.zip");
  });
  at("clear").addEventListener("click", () => {
    for (const item of [...work.items]) work.remove(item);
    at("files").focus();
  });
}

async function start() {
  await loadWords();
  bundle = await getJson("api/bundle");
  work.startItems(bundle, render);
  startCompare();
  at("format").append(...bundle.formats.map((name) => make("option", { value: name, textContent: name.toUpperCase() })));
  at("scale").append(...bundle.scales.slice(1).map((scale) => make("option", { value: scale, textContent: `${scale} ×` })));
  at("scale-part").hidden = bundle.scales.length === 1;
  at("curl").textContent = `curl --data-binary @photo.jpg '${new URL("api/restore?name=photo.jpg", location)}' -o restored.jpg`;
  listen();
  const wanted = localStorage.getItem("polyrestore-language") ?? navigator.language;
  await speak(wanted.startsWith("zh") ? "zh" : "en");
  document.body.dataset.ready = "yes";
}

start().catch((error) => alertUser(errorText(error)));

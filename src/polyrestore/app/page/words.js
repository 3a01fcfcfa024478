// The page's texts. English is in the page itself and in words/en.json, Chinese in words/zh.json.

const english = {};
let chosen = english;

export let language = "en";

export async function loadWords() {
  for (const element of document.querySelectorAll("[data-word]")) {
    english[element.dataset.word] = element.textContent;
  }
  Object.assign(english, await (await fetch("words/en.json")).json());
}

export async function setLanguage(code) {
  chosen = code === "zh" ? { ...english, ...(await (await fetch("words/zh.json")).json()) } : english;
  language = code;
  document.documentElement.lang = code === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = word(element.dataset.word);
  }
}

// A text, with {names} replaced by values.
export function word(key, values = {}) {
  return (chosen[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// The text of a key that need not be there: in Chinese and in English alike, else what is given.
export function wordOr(key, values, otherwise) {
  return chosen[key] === undefined ? otherwise : word(key, values);
}

export function degradationName(name) {
  return wordOr(`degradation.${name}`, {}, name.replaceAll("_", " "));
}

export function errorText(error) {
  return wordOr(`error.${error.code}`, error.values ?? {}, error.message);
}

export function noteText(note) {
  return wordOr(`note.${note.code}`, {}, note.text);
}

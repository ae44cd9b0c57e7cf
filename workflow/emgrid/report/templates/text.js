"use strict";
// Model text, shown as text. Nothing here or elsewhere parses it as markup.

const LONGEST = 20000; // characters that are shown at first
// Control characters, and characters that are invisible or change the direction of writing.
const UNSEEN = "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f" +
  "\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e0fff}]";

function element(tag, name, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children);
  return made;
}

function codeOf(character) {
  return "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

// A pattern for a literal text; null for an empty one.
function finder(text) {
  return text ? text.replace(/[.*+?^${}()|[\]\\\/]/g, "\\$&") : null;
}

// Put text into a node: search hits are marked, invisible characters are shown as their code.
function fill(node, text, wanted) {
  const source = wanted ? `(${wanted})|${UNSEEN}` : `()${UNSEEN}`;
  const pattern = new RegExp(source, "giu");
  let done = 0;
  for (const found of text.matchAll(pattern)) {
    node.append(text.slice(done, found.index));
    node.append(found[1] ? element("mark", "", found[1]) : element("span", "unseen", codeOf(found[0])));
    done = found.index + found[0].length;
  }
  node.append(text.slice(done));
}

// A block of text. A very long text is cut, with a button for the rest.
function textBlock(text, wanted, name) {
  const block = element("div", `said ${name}`);
  block.dir = "auto";
  const whole = text.replaceAll("\r\n", "\n");
  fill(block, whole.slice(0, LONGEST), wanted);
  if (whole.length <= LONGEST) return block;
  const rest = element("button", "", `show all ${whole.length.toLocaleString("en")} characters`);
  rest.type = "button";
  rest.addEventListener("click", () => {
    block.replaceChildren();
    fill(block, whole, wanted);
    rest.remove();
  });
  return element("div", "", block, rest);
}

// The beginning of a text, on one line.
function snippet(text) {
  return text.slice(0, 300).replace(/\s+/g, " ").replace(new RegExp(UNSEEN, "gu"), "·").slice(0, 160);
}

function words(name) {
  return name.replaceAll("_", " ");
}

function score(value) {
  return value === null ? "–" : value.toFixed(0);
}

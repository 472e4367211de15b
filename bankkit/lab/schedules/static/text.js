/* Texts from Python, taken apart: prose with code in it, and code with comments in it. */

import { element } from "../../drawing/static/dom.js";

/* The parts of a text in which `backticks` mark code. */
export function proseParts(text) {
  return text.split("`").map((words, i) => ({ words, isCode: i % 2 === 1 }));
}

export function showProse(node, text) {
  node.replaceChildren();
  for (const { words, isCode } of proseParts(text)) {
    if (isCode) element("code", "", node, { textContent: words });
    else node.append(words);
  }
}

/* Of each line of Python code, whether it is a comment or in a docstring. */
export function quietLines(lines) {
  let inDocstring = false;
  return lines.map((line) => {
    const start = line.trimStart();
    const isQuiet = inDocstring || start.startsWith("#") || start.startsWith('"""');
    if (line.split('"""').length === 2) inDocstring = !inDocstring;
    return isQuiet;
  });
}

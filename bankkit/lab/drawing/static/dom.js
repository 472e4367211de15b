/* What every widget needs to build its part of the page. */

export function element(kind, name, parent, properties = {}) {
  const made = document.createElement(kind);
  made.className = name;
  Object.assign(made, properties);
  parent.append(made);
  return made;
}

/* Sets the text of a node, unless it has it: a screen reader reads a text again that is set again. */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

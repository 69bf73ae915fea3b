// Text within HTML and SVG.

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** The text as an element or an attribute in quotes can hold it. */
export const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (c) => ENTITIES[c]!);

// Escapes text for HTML and SVG.

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** The text, escaped for an element or a quoted attribute. */
export const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (c) => ENTITIES[c]!);

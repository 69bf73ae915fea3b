// Generates files from the grammar, as text by path: a script writes them, a test checks that they are current.
import { generateCstDts } from "chevrotain";
import { ModcParser } from "./parser.js";
import { railroad } from "./railroad.js";
import { textMate } from "./textmate.js";

export interface Generated {
  /** Path relative to the root of the repository. */
  readonly path: string;
  readonly text: string;
}

export function generated(): readonly Generated[] {
  return [
    { path: "grammar/cst.ts", text: cstTypes() },
    { path: "grammar/modc.tmLanguage.json", text: textMate() },
    { path: "docs/railroad.html", text: railroad() },
  ];
}

/** The types of the concrete syntax tree. */
function cstTypes(): string {
  const text = generateCstDts(new ModcParser({ validate: true }).getGAstProductions(), {
    includeVisitorInterface: false,
  });
  return (
    "// Made by scripts/grammar.mjs from grammar/parser.ts; do not edit. The types of the concrete syntax " +
    `tree.\n${text.replace(", ICstVisitor", "").trim()}\n`
  );
}

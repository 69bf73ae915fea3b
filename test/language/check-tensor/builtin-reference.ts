// Generates the reference of all built-in functions from their `doc` fields: `docs/builtins.md`.
import { families } from "../../../src/language/check/builtins/index.js";

/** Documentation of one function: its signatures and its text. */
export interface BuiltinDoc {
  readonly name: string;
  readonly family: string;
  readonly signatures: readonly string[];
  readonly meaning: string;
}

/** In the order of the reference. */
export function builtinDocs(): readonly BuiltinDoc[] {
  return [...families].flatMap(([family, functions]) =>
    [...functions].map(([name, { doc }]) => {
      const lines = doc.split("\n");
      return { name, family, signatures: lines.slice(0, -1), meaning: lines.at(-1) ?? "" };
    }),
  );
}

/** The reference as Markdown. */
export function builtinReference(): string {
  const docs = builtinDocs();
  const section = (family: string): string =>
    [
      `## ${family}`,
      ...docs
        .filter((d) => d.family === family)
        .map((d) => `### ${d.name}\n\n\`\`\`\n${d.signatures.join("\n")}\n\`\`\`\n\n${wrapped(d.meaning)}`),
    ].join("\n\n");
  return [HEAD, ...[...families.keys()].map(section)].join("\n\n") + "\n";
}

/** Wraps a paragraph at 100 columns. Code in backticks stays on one line. */
function wrapped(paragraph: string): string {
  const lines = [""];
  for (const word of paragraph.match(/(?:`[^`]*`|[^ `])+/g) ?? []) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > 100) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join("\n");
}

const HEAD = `# Built-in functions

Generated from the functions' own descriptions in \`src/language/check/builtins\`. A test keeps it
current.

\`any\` stands for one dtype throughout, \`number\` for f32, f16, u32 or i32, \`float\` for f32 or
f16. \`[...]\` is any shape. Arguments with a colon are given by name; the value behind the colon is
the default. B is the batch, T a sequence axis, K the axis of a route.

\`ceil\`, \`floor\`, \`round\`, \`min\`, \`max\` and \`len\` of compile-time numbers, sizes and lists are exact
and no tensor operators.`;

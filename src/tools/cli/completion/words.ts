// The completions of a command, independent of the shell.

/** The kind of an option's value or of an argument: one of some words, a file, a folder, or anything. */
export type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" | "folder" | "other" };

export interface CompletedOption {
  /** `-o` */
  readonly short: string | null;
  /** `--output` */
  readonly long: string;
  readonly does: string;
  /** Null if the option takes no value. */
  readonly values: Values | null;
  /** Whether the value may be left out. */
  readonly optional: boolean;
  readonly repeatable: boolean;
}

export interface Completed {
  readonly name: string;
  readonly does: string;
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly { readonly name: string; readonly values: Values; readonly variadic: boolean }[];
}

/** The text of a script, with instructions for its installation. */
export const script = (shell: string, install: string, lines: readonly string[]): string =>
  `# Completion of modc for ${shell}, as \`modc completion ${shell}\` prints it. To install: ` +
  `${install}\n${lines.join("\n")}\n`;

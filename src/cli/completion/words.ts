// What a shell can complete of a command.

/**
 * What stands behind an option, or as an argument: one of some words, a file, a folder, or what nobody can complete.
 */
export type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" | "folder" | "other" };

export interface CompletedOption {
  /** `-o` */
  readonly short: string | null;
  /** `--output` */
  readonly long: string;
  readonly does: string;
  /** Null where it takes no value. */
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

/** The lines of a script, with how it is installed. */
export const script = (shell: string, install: string, lines: readonly string[]): string =>
  `# Completion of modc for ${shell}, as \`modc completion ${shell}\` prints it. To install: ` +
  `${install}\n${lines.join("\n")}\n`;

// How a command ends: the exit codes, and what to say of each kind of error.

/** 0 fine · 1 the user's source, input or weights · 2 the command line itself · 3 no GPU, or it was lost · 4 a check failed · 70 a fault of modc · 130 interrupted, with what was done so far kept; where nothing is to be kept, the signal itself ends the process. */
export const EXIT = { fine: 0, user: 1, usage: 2, device: 3, check: 4, bug: 70, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A fault of what the user gave: one sentence, and how to mend it. */
export class UserError extends Error {
  override readonly name = "UserError";
  /** What kind of fault it is, for programs. */
  readonly code: string;
  constructor(
    message: string,
    readonly hint: string | null = null,
    readonly exit: ExitCode = EXIT.user,
    code?: string,
  ) {
    super(message);
    this.code = code ?? (exit === EXIT.usage ? "usage" : "refused");
  }
}

/** What is told of an error, and the code it ends with. */
export interface Verdict {
  readonly exit: ExitCode;
  /** What kind of fault it is, for programs: a word with hyphens. */
  readonly code: string;
  /** Null where nothing more is to be said. */
  readonly message: string | null;
  readonly hint: string | null;
}

/** Errors of the compiler's and the runtime's rooms are told by name and code, so that judging one loads none of them. */
export function judge(error: unknown): Verdict {
  if (error instanceof UserError) return { exit: error.exit, code: error.code, message: error.message, hint: error.hint };
  if (!(error instanceof Error)) return bug(String(error));
  const { code, hint } = error as { readonly code?: unknown; readonly hint?: unknown }; // as the runtime's errors have them
  const known = exitOf(error.name, code);
  return known === null || error.message.startsWith("modc bug")
    ? bug(error.message)
    : { exit: known, code: typeof code === "string" ? code : kindOf(error.name), message: error.message, hint: typeof hint === "string" ? hint : null };
}

/** `TuningsError` → `tunings` */
const kindOf = (name: string): string =>
  name
    .replace(/Error$/, "")
    .replaceAll(/(?<=.)[A-Z]/g, (letter) => `-${letter}`)
    .toLowerCase();

function exitOf(name: string, code: unknown): ExitCode | null {
  if (
    name === "CheckpointError" ||
    name === "GenerationError" ||
    name === "InputError" ||
    name === "ProgramError" ||
    name === "ReproductionError" ||
    name === "SessionError" ||
    name === "SourceError" ||
    name === "TokenizerError" ||
    name === "TrainError" ||
    name === "TuningsError" ||
    name === "WeightsError"
  )
    return EXIT.user;
  if (name === "TargetError") return EXIT.usage;
  switch (code) {
    case "no-device":
    case "device-lost":
      return EXIT.device;
    case "out-of-memory":
    case "unsupported":
    case "limit-exceeded":
    case "bad-input":
    case "bad-weights":
      return EXIT.user;
    default:
      return null;
  }
}

const bug = (message: string): Verdict => ({
  exit: EXIT.bug,
  code: "modc-bug",
  message: message.startsWith("modc bug") ? message : `modc bug: ${message.split("\n")[0]}`,
  hint: "this is a fault of modc, not of your input; MODC_DEBUG=1 shows where it happened",
});

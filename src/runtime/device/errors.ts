// Errors of the runtime: one class for each kind of fault, with a code for programs and a hint for users.
import { EXIT, ModcError, type ExitCode, type FaultOptions } from "../../ground/base/errors.js";

export type RuntimeErrorCode =
  | "no-device"
  | "device-lost"
  | "out-of-memory"
  | "limit-exceeded"
  | "kernel-refused"
  | "unsupported"
  | "bad-input"
  | "ambiguous-lengths"
  | "bad-weights"
  | "disposed";

/**
 * The class name of each code, as text because bundlers rename classes, and the exit code of a command that fails with
 * the error.
 */
const KINDS: { readonly [C in RuntimeErrorCode]: readonly [name: string, exit: ExitCode] } = {
  "no-device": ["NoDeviceError", EXIT.device],
  "device-lost": ["DeviceLostError", EXIT.device],
  "out-of-memory": ["OutOfMemoryError", EXIT.user],
  "limit-exceeded": ["LimitError", EXIT.user],
  "kernel-refused": ["KernelError", EXIT.bug],
  unsupported: ["UnsupportedError", EXIT.user],
  "bad-input": ["InputError", EXIT.user],
  "ambiguous-lengths": ["InputError", EXIT.user],
  "bad-weights": ["WeightsError", EXIT.user],
  disposed: ["DisposedError", EXIT.bug],
};

/** Base class of the runtime's errors: a code, a message of one sentence and, if there is a remedy, a hint. */
export class RuntimeError extends ModcError<RuntimeErrorCode> {
  constructor(code: RuntimeErrorCode, message: string, options: FaultOptions = {}) {
    const [name, exit] = KINDS[code];
    super(code, message, { exit, ...options });
    this.name = name;
  }
}

/**
 * No device of the requested kind can be opened. The message says what is missing; the hint is the command that
 * installs it.
 */
export class NoDeviceError extends RuntimeError {
  constructor(message: string, options: FaultOptions = {}) {
    super("no-device", message, options);
  }
}

/** The device was lost: every pending and later call on it fails with this error. */
export class DeviceLostError extends RuntimeError {
  /** `destroyed` if the program itself destroyed the device. */
  readonly reason: "destroyed" | "unknown";
  constructor(reason: "destroyed" | "unknown", message: string, options: FaultOptions = {}) {
    super(
      "device-lost",
      reason === "destroyed"
        ? "the device was destroyed"
        : `the device was lost: ${message || "the driver gave no reason"}`,
      options,
    );
    this.reason = reason;
  }
}

/** The device has too little memory for the buffers of a session. */
export class OutOfMemoryError extends RuntimeError {
  /** The label of the buffer that could not be allocated. */
  readonly label: string;
  readonly bytes: number;
  constructor(label: string, bytes: number, options: FaultOptions = {}) {
    super("out-of-memory", `the device has no memory for ${label} (${formatBytes(bytes)})`, options);
    this.label = label;
    this.bytes = bytes;
  }
}

/** A buffer, binding or dispatch is larger than this device allows. Thrown before anything is allocated. */
export class LimitError extends RuntimeError {
  /** The object that is too large: the label of a slot, or the name of a kernel. */
  readonly label: string;
  /** WebGPU's name of the limit. */
  readonly limit: string;
  readonly needed: number;
  readonly allowed: number;
  /** Whether smaller sizes of the run would fit. */
  readonly sizes: boolean;
  constructor(
    fault: {
      readonly label: string;
      readonly limit: string;
      readonly needed: number;
      readonly allowed: number;
      readonly unit: "bytes" | "count";
      readonly sizes?: boolean;
    },
    hint: string | null = null,
  ) {
    const show = fault.unit === "bytes" ? formatBytes : String;
    super(
      "limit-exceeded",
      `${fault.label} needs ${show(fault.needed)}, the device allows ${show(fault.allowed)} (${fault.limit})`,
      { hint },
    );
    this.label = fault.label;
    this.limit = fault.limit;
    this.needed = fault.needed;
    this.allowed = fault.allowed;
    this.sizes = fault.sizes ?? false;
  }
}

/** The program was compiled for features that this device lacks. */
export class UnsupportedError extends RuntimeError {
  constructor(message: string, hint: string) {
    super("unsupported", message, { hint });
  }
}

/** The device refused a kernel or a command of a compiled program: a fault of the compiler or of the driver. */
export class KernelError extends RuntimeError {
  constructor(
    /** The message without the note that it is a bug. */
    readonly what: string,
    cause?: unknown,
  ) {
    super("kernel-refused", `modc bug: ${what}`, { cause });
  }
}

/**
 * An input of a run has the wrong shape, type or value; the message names the input and the element. The code is
 * `ambiguous-lengths` for plain lengths of inputs along several sequences.
 */
export class InputError extends RuntimeError {
  /** The faulty input; null if no single input is at fault. */
  readonly input: string | null;
  constructor(
    input: string | null,
    message: string,
    hint: string | null = null,
    exit: ExitCode = EXIT.user,
    code: "bad-input" | "ambiguous-lengths" = "bad-input",
  ) {
    super(code, message, { hint, exit });
    this.input = input;
  }
}

/** An input is longer along an axis than the model allows. */
export class BeyondBoundError extends InputError {
  constructor(
    input: string,
    message: string,
    readonly beyond: { readonly axis: string; readonly extent: number; readonly bound: number },
  ) {
    super(input, message);
  }
}

/** A weights file is broken or does not fit the model. The message has a line for each fault. */
export class WeightsError extends RuntimeError {
  /** The tensors of the file, if weights do not fit a model; else null. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }> | null;

  constructor(message: string, options: FaultOptions & { readonly tensors?: WeightsError["tensors"] } = {}) {
    super("bad-weights", message, options);
    this.tensors = options.tensors ?? null;
  }
}

/** The session was disposed of. */
export class DisposedError extends RuntimeError {
  constructor() {
    super("disposed", "the session has been disposed of");
  }
}

/** `512 B`, `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]!}`;
}

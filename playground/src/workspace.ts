// The edited program: its source, parameters and phase, and its last check.
import type { Phase } from "../../src/language/check/model/model.js";
import type { Checked } from "./compiler/checked.js";
import type { CompilerCalls } from "./worker/protocol.js";
import type { Source } from "./source.js";
import type { Remote } from "./worker/remote.js";

/** Milliseconds without typing before the source is checked. */
const PAUSE = 200;

export interface Listener {
  /** Called after the current source was checked. */
  readonly checked: (source: Source, found: Checked) => void;
  readonly failed: (message: string) => void;
}

export class Workspace {
  readonly #compiler: Remote<CompilerCalls>;
  readonly #read: () => string;
  readonly #listener: Listener;
  #set: Readonly<Record<string, string>> = {};
  #phase: Phase = "infer";
  #timer: number | undefined;
  #busy = false;
  #dirty = false;

  constructor(compiler: Remote<CompilerCalls>, read: () => string, listener: Listener) {
    this.#compiler = compiler;
    this.#read = read;
    this.#listener = listener;
  }

  get source(): Source {
    return { text: this.#read(), set: this.#set, phase: this.#phase };
  }
  get set(): Readonly<Record<string, string>> {
    return this.#set;
  }
  get phase(): Phase {
    return this.#phase;
  }

  /** Call after typing: the source is checked after a pause. Other changes are checked immediately. */
  typed(): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.check(), PAUSE);
  }
  change(to: { readonly set?: Readonly<Record<string, string>>; readonly phase?: Phase }): void {
    if (to.set) this.#set = to.set;
    if (to.phase) this.#phase = to.phase;
    void this.check();
  }

  /** Checks the source, one call at a time: changes during a check are checked afterwards. */
  async check(): Promise<void> {
    clearTimeout(this.#timer);
    this.#dirty = true;
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#dirty) {
        this.#dirty = false;
        const { source } = this;
        const found = await this.#compiler.call("check", source);
        if (!this.#dirty && JSON.stringify(source) === JSON.stringify(this.source))
          this.#listener.checked(source, found);
      }
    } catch (error) {
      this.#listener.failed(error instanceof Error ? error.message : String(error));
    } finally {
      this.#busy = false;
    }
  }
}

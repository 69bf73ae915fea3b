// Where the lines of a conversation come from: a terminal, in which they are edited, or standard input as a whole.
import { createInterface, type Interface } from "node:readline";
import { io } from "../terminal/io.js";
import { say } from "../terminal/terminal.js";

export interface Lines {
  /** The next line that is written; null at the end of input. */
  next(): Promise<string | null>;
  /** Calls `stop` on an interrupt until the returned function is called; else an interrupt drops the line, or ends. */
  onInterrupt(stop: () => void): () => void;
  close(): void;
}

const PROMPT = "> ";

/** Lines of the terminal where there is one, else of standard input. */
export const linesOfInput = (): Lines =>
  process.stdin.isTTY && io().stdout === process.stdout ? new TerminalLines() : givenLines();

function givenLines(): Lines {
  const lines = new TextDecoder().decode(io().stdin()).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return {
    next: () => Promise.resolve(lines.shift() ?? null),
    // Nobody is there who would go on: an interrupt ends the process.
    onInterrupt: () => () => {},
    close: () => {},
  };
}

class TerminalLines implements Lines {
  readonly #readline: Interface;
  readonly #waiting: string[] = [];
  #wake: ((line: string | null) => void) | null = null;
  #stop: (() => void) | null = null;
  #over = false;
  /** Whether an interrupt came at an empty line, and no line since. */
  #warned = false;

  constructor() {
    this.#readline = createInterface({ input: process.stdin, output: process.stdout, prompt: PROMPT });
    this.#readline.on("line", (line) => this.#give(line));
    this.#readline.on("close", () => {
      this.#over = true;
      this.#wake?.(null);
    });
    // The terminal hands an interrupt over as a key.
    this.#readline.on("SIGINT", () => {
      if (this.#stop) this.#stop();
      else if (this.#readline.line === "") {
        // One that comes when an answer has just ended is not meant for the program.
        if (this.#warned) this.#readline.close();
        else say("\nanother interrupt ends the conversation; so does /exit");
        this.#warned = true;
        this.#readline.prompt();
      } else {
        this.#readline.write(null, { ctrl: true, name: "e" });
        this.#readline.write(null, { ctrl: true, name: "u" });
      }
    });
  }

  next(): Promise<string | null> {
    const known = this.#waiting.shift();
    if (known !== undefined) return Promise.resolve(known);
    if (this.#over) return Promise.resolve(null);
    this.#readline.prompt();
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #give(line: string): void {
    const wake = this.#wake;
    this.#wake = null;
    this.#warned = false;
    if (wake) wake(line);
    else this.#waiting.push(line);
  }

  onInterrupt(stop: () => void): () => void {
    this.#stop = stop;
    return () => (this.#stop = null);
  }

  close(): void {
    this.#readline.close();
  }
}

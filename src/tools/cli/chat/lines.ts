// Reads the lines of a conversation: from a terminal, which edits them, or from standard input.
import { fstatSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { errnoOf, reasonOf } from "../../../ground/base/errno.js";
import { onInterrupt } from "../terminal/ending.js";
import { UserError } from "../terminal/exit.js";
import { io, ownInput } from "../terminal/io.js";
import { say } from "../terminal/terminal.js";

export interface Lines {
  /** Whether a person is present, who continues after a stopped answer or a refused message. */
  readonly attended: boolean;
  /** The next line; null at the end of input. `continued`: it belongs to the message of the line before. */
  next(how?: { readonly continued: boolean }): Promise<string | null>;
  /**
   * Calls `stop` on an interrupt until the returned function is called, and ends the line that is awaited as an empty
   * one. Else an interrupt drops the line that is written, or ends the process.
   */
  onInterrupt(stop: () => void): () => void;
  close(): void;
}

const [PROMPT, CONTINUED] = ["> ", "… "];

/** Lines of the terminal where there is one to edit them in, else of standard input. */
export function linesOfInput(): Lines {
  const shown = process.stdin.isTTY && io().stdout === process.stdout ? terminal() : null;
  if (shown) return new TerminalLines(shown);
  return givenLines(ownInput() && !fstatSync(0).isDirectory() ? process.stdin : [io().stdin()]); // a folder is refused
}

/** The stream that shows what is typed; answers alone go to a file. */
const terminal = (): NodeJS.WriteStream | null =>
  process.stdout.isTTY ? process.stdout : process.stderr.isTTY ? process.stderr : null;

function givenLines(input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Lines {
  const lines = linesOf(input);
  return {
    attended: false,
    async next() {
      const { value, done } = await lines.next();
      return done === true ? null : value;
    },
    onInterrupt,
    // Standard input is closed, because an open one would keep the process alive.
    close: () => void lines.return(),
  };
}

/** Characters of a line: beyond what any model reads. */
const LONGEST = 64 * 1024 * 1024;

/** Each line as soon as it has ended. */
async function* linesOf(input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let line = "";
  try {
    for await (const piece of input) {
      const [rest, ...others] = decoder.decode(piece, { stream: true }).split("\n");
      line += rest!; // a split text has a first part
      if (line.length > LONGEST)
        throw new UserError(`a line of standard input has more than ${LONGEST} characters, the most that modc reads`);
      for (const next of others) {
        yield withoutReturn(line);
        line = next;
      }
    }
  } catch (fault) {
    const code = errnoOf(fault);
    throw code === null ? fault : new UserError(`cannot read standard input: ${reasonOf(code)}`);
  }
  line += decoder.decode();
  if (line !== "") yield withoutReturn(line);
}

const withoutReturn = (line: string): string => (line.endsWith("\r") ? line.slice(0, -1) : line);

class TerminalLines implements Lines {
  readonly attended = true;
  readonly #readline: Interface;
  readonly #waiting: string[] = [];
  #wake: ((line: string | null) => void) | null = null;
  #stop: (() => void) | null = null;
  #over = false;
  /** Whether an interrupt came at an empty line, and no line since. */
  #warned = false;

  constructor(output: NodeJS.WriteStream) {
    this.#readline = createInterface({ input: process.stdin, output, prompt: PROMPT });
    this.#readline.on("line", (line) => this.#give(line));
    this.#readline.on("close", () => {
      this.#over = true;
      if (!this.#wake) return;
      output.write("\n"); // what follows does not stand behind the prompt
      this.#give(null);
    });
    // The terminal hands an interrupt over as a key.
    this.#readline.on("SIGINT", () => {
      if (this.#stop) {
        this.#stop();
        if (!this.#wake) return;
        this.#clear();
        output.write("\n");
        this.#give("");
      } else if (this.#readline.line === "") {
        // One that comes when an answer has just ended is not meant for the program.
        if (this.#warned) return this.#readline.close();
        say("\ninterrupt again to end the conversation, or type /exit");
        this.#warned = true;
        this.#readline.prompt();
      } else this.#clear();
    });
  }

  /** Drops the line that is typed. */
  #clear(): void {
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
  }

  next({ continued = false }: { readonly continued?: boolean } = {}): Promise<string | null> {
    const known = this.#waiting.shift();
    if (known !== undefined) return Promise.resolve(known);
    if (this.#over) return Promise.resolve(null);
    this.#readline.setPrompt(continued ? CONTINUED : PROMPT);
    this.#readline.prompt();
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /** Null: there is no other. */
  #give(line: string | null): void {
    const wake = this.#wake;
    this.#wake = null;
    this.#warned = false;
    if (wake) wake(line);
    else if (line !== null) this.#waiting.push(line);
  }

  onInterrupt(stop: () => void): () => void {
    this.#stop = stop;
    return () => (this.#stop = null);
  }

  close(): void {
    this.#readline.close();
  }
}

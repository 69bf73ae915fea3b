// How the process ends. This is the one place for it: a driver's threads may be at work at any moment, and the C
// destructors that `process.exit` runs beside them crash. So an interrupt ends the process by the signal itself, which
// runs none, and every other end first waits until the driver is quiet.
import { reasonOf } from "../../base/errno.js";
import { destroyLiving } from "../../runtime/living.js";
import { removeLeftovers, watchLeftovers } from "../../runtime/leftovers-node.js";
import { EXIT, describeError, type ExitCode } from "./exit.js";
import { error, say } from "./terminal.js";

/**
 * While nobody listens, a signal ends the process at once, whatever it is doing: JavaScript that takes long hears
 * nothing. So there are listeners only while there is something to keep (`onInterrupt`) or to remove (temporary files),
 * and no work that takes long then.
 */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type Signal = (typeof SIGNALS)[number];

/** What the first interrupt calls. */
const stops = new Set<() => void>();
let toRemove = false;
let listening = false;

function listen(): void {
  const wanted = stops.size > 0 || toRemove;
  if (wanted === listening) return;
  listening = wanted;
  for (const signal of SIGNALS)
    if (wanted) process.on(signal, hear);
    else process.off(signal, hear);
}

function hear(signal: Signal): void {
  const called = [...stops];
  stops.clear();
  if (called.length === 0) return endBy(signal);
  for (const stop of called) stop();
  listen(); // a second one ends at once
}

/**
 * The first interrupt calls `stop`, so that what was done so far can be kept; a second ends the process. Returns what
 * takes that back.
 */
export function onInterrupt(stop: () => void): () => void {
  stops.add(stop);
  listen();
  return () => {
    stops.delete(stop);
    listen();
  };
}

/** Whatever came before it is heard when this resolves: a whole turn of the event loop. */
export const turn = async (): Promise<void> => {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => void setImmediate(resolve));
};

/** Whether there are temporary files now. */
let temporary = false;
watchLeftovers((any) => {
  temporary = any;
  toRemove ||= any;
  listen();
  if (!any) void forget();
});

/** A signal that came while there was something to remove is heard before nobody listens any more. */
async function forget(): Promise<void> {
  await turn();
  toRemove = temporary;
  listen();
}

/**
 * Ends the process by a signal, as if nobody had listened: shells see that it was interrupted (130, and 143 for
 * SIGTERM), and no destructor runs.
 */
function endBy(signal: Signal): void {
  removeLeftovers();
  if (process.platform === "win32") process.exit(EXIT.interrupted);
  process.off(signal, hear);
  process.kill(process.pid, signal);
}

/** Ends the process with a code, now. */
function endNow(code: ExitCode): never {
  removeLeftovers();
  destroyLiving();
  process.exit(code);
}

/** Ends the process once everything that was printed has left it, with a command's code. */
export async function end(code: ExitCode): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0) await new Promise<void>((resolve) => void stream.write("", () => resolve()));
  destroyLiving();
  process.exitCode = code;
}

/**
 * For the process that is the command line. A reader that stops reading (`modc … | head`) is no fault, and what nobody
 * caught is told as a fault of modc.
 */
export function handleStreams(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (fault: NodeJS.ErrnoException) => {
      if (fault.code === "EPIPE") endNow(EXIT.fine);
      if (stream === process.stdout)
        error(
          `cannot write to standard output: ${fault.code === undefined ? fault.message : reasonOf(fault.code)}`,
          null,
        );
      endNow(EXIT.user);
    });
  process.on("uncaughtException", (fault: unknown) => {
    const { exit, message, hint } = describeError(fault);
    error(message, hint);
    if (process.env["MODC_DEBUG"] && fault instanceof Error) say(fault.stack ?? "");
    endNow(exit);
  });
}

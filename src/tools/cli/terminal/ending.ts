// Ends the process; no other file may. A driver's threads may be running at any moment, and the C destructors that
// `process.exit` runs concurrently crash. So an interrupt ends the process by the signal itself, which runs no
// destructors, and every other end first waits until the driver's threads are idle.
import { constants } from "node:os";
import { reasonOf } from "../../../ground/base/errno.js";
import { destroyLiving } from "../../../runtime/device/living.js";
import { removeLeftovers, watchLeftovers } from "../../../ground/files/leftovers-node.js";
import { EXIT, describeError, type ExitCode } from "./exit.js";
import { error, say } from "./terminal.js";

/**
 * Without a listener, a signal ends the process at once; with one, it is not handled while JavaScript runs for long. So
 * listeners exist only while there are results to save (`onInterrupt`) or temporary files to remove, and no long
 * synchronous work is done then.
 */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type Signal = (typeof SIGNALS)[number];

/**
 * Whether this is the first process of a container (pid_namespaces(7)). Linux drops its signals where nothing listens,
 * and no signal of its own ends it. So as a program it always listens, and ends by a code.
 */
const IS_FIRST = process.pid === 1;
let isProgram = false;

/** The functions that the first interrupt calls. */
const stops = new Set<() => void>();
let toRemove = false;
let listening = false;

function listen(): void {
  const wanted = stops.size > 0 || toRemove || (IS_FIRST && isProgram);
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
  listen(); // a second signal ends the process at once
}

/**
 * Registers `stop`, which the first interrupt calls, so that results so far can be saved; a second interrupt ends the
 * process. Returns a function that unregisters it.
 */
export function onInterrupt(stop: () => void): () => void {
  stops.add(stop);
  listen();
  return () => {
    stops.delete(stop);
    listen();
  };
}

/** A whole turn of the event loop: when it resolves, earlier signals have been handled. */
export const turn = async (): Promise<void> => {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => void setImmediate(resolve));
};

/** Whether there are temporary files. */
let temporary = false;
watchLeftovers((any) => {
  temporary = any;
  toRemove ||= any;
  listen();
  if (!any) void forget();
});

/** Removes the listeners, after a turn in which signals that arrived before are handled. */
async function forget(): Promise<void> {
  await turn();
  toRemove = temporary;
  listen();
}

/**
 * Ends the process by a signal with its default action: shells see the interrupt (130, and 143 for SIGTERM), and no
 * destructor runs. The first process of a container ends with that code, once the driver's threads are idle.
 */
function endBy(signal: Signal): void {
  if (IS_FIRST) endNow(128 + constants.signals[signal]);
  removeLeftovers();
  if (process.platform === "win32") process.exit(EXIT.interrupted);
  process.off(signal, hear);
  process.kill(process.pid, signal);
}

/** Ends the process with a code, now. */
function endNow(code: number): never {
  removeLeftovers();
  destroyLiving();
  process.exit(code);
}

/** Ends the process with a command's exit code, after all output was written. */
export async function end(code: ExitCode): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0) await new Promise<void>((resolve) => void stream.write("", () => resolve()));
  destroyLiving();
  process.exitCode = code;
}

/** Told of output that cannot be written, while that does not end the process. */
let outlived: ((fault: NodeJS.ErrnoException) => void) | null = null;

/**
 * From now on, output that cannot be written does not end the process: a server is there for those who ask it, whoever
 * reads its log. Its last lines may fail after all else has ended, so this is for good.
 */
export function outliveOutput(tell: (fault: NodeJS.ErrnoException) => void): void {
  outlived = tell;
}

/**
 * Installs handlers for the command-line process: signals are heard where nothing else would end it, a closed pipe
 * (`modc … | head`) is not an error, and uncaught errors are reported as bugs of modc.
 */
export function handleStreams(): void {
  isProgram = true;
  listen();
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (fault: NodeJS.ErrnoException) => {
      if (outlived) return outlived(fault);
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

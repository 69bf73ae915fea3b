// The worker's side of the protocol: dispatches the page's calls to handlers.
import { ModcError } from "../../../src/ground/base/errors.js";
import type { Failure, Handlers, Reply, Request } from "./protocol.js";

/** Handles a message from the page. */
export type Server = (request: Request) => void;

/** The used part of a worker's global scope, for which TypeScript's DOM library has no type. */
export interface WorkerScope {
  readonly name: string;
  postMessage(message: Reply): void;
  addEventListener(kind: "message", listener: (event: MessageEvent<Request>) => void): void;
}

type AnyHandler = (ask: unknown, tell: (event: unknown) => void, signal: AbortSignal) => unknown;

export function serve<
  C extends { readonly [K in keyof C]: { readonly ask: unknown; readonly event: unknown; readonly answer: unknown } },
>(scope: WorkerScope, handlers: Handlers<C>): Server {
  // Marked boundary: the page calls according to the same table, so names and types agree.
  const table = new Map(Object.entries(handlers) as [string, AnyHandler][]);
  const underWay = new Map<number, AbortController>();
  const answer = async (id: number, name: string, ask: unknown): Promise<void> => {
    const controller = new AbortController();
    underWay.set(id, controller);
    try {
      const handler = table.get(name);
      if (!handler) throw new Error(`there is no call ${name}`);
      const tell = (event: unknown): void => scope.postMessage({ kind: "event", id, event });
      scope.postMessage({ kind: "answer", id, answer: await handler(ask, tell, controller.signal) });
    } catch (error) {
      scope.postMessage({ kind: "failure", id, failure: failureOf(error) });
    } finally {
      underWay.delete(id);
    }
  };
  return (request) => {
    if (request.kind === "cancel") underWay.get(request.id)?.abort();
    else void answer(request.id, request.name, request.ask);
  };
}

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), hint: null };
  return { name: error.name, message: error.message, hint: error instanceof ModcError ? error.hint : null };
}

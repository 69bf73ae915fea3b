// Errors as OpenAI's wire has them: a status, and an object with message, type, param and code.
import { ModcError } from "../../../ground/base/errors.js";
import { QueueFullError } from "../../../generation/engine/index.js";
import { InputError } from "../../../runtime/index.js";
import { TokenizerError } from "../../../models/tokenizer/errors.js";

export interface WireFault {
  readonly status: number;
  /** Kind of error, in OpenAI's words, such as `invalid_request_error`. */
  readonly type: string;
  /** The kind, for programs. */
  readonly code: string | null;
  /** The field at fault. */
  readonly param?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A request that is answered by an error. */
export class RequestError extends ModcError {
  override readonly name = "RequestError";
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** The body's `error.code`. */
  readonly wireCode: string | null;

  constructor(message: string, { status, type, code, param = null, headers = {}, cause }: WireFault) {
    super(code ?? "request", message, { cause });
    this.status = status;
    this.type = type;
    this.param = param;
    this.headers = headers;
    this.wireCode = code;
  }

  /** What the body of the reply says. */
  get body(): { readonly error: object } {
    const { message, type, param, wireCode: code } = this;
    return { error: { message, type, param, code } };
  }
}

/** A field that the request should not have, or has in the wrong form. */
export const invalid = (message: string, param: string | null = null, code: string | null = null): RequestError =>
  new RequestError(message, { status: 400, type: "invalid_request_error", code, param });

/** A field of OpenAI's wire that modc does not have. */
export const unsupported = (param: string, message = `${param} is not supported`): RequestError =>
  invalid(message, param, "unsupported_parameter");

export const draining = (): RequestError =>
  new RequestError("the server is shutting down and takes no more requests", {
    status: 503,
    type: "service_unavailable_error",
    code: "draining",
    headers: { "retry-after": "1", connection: "close" },
  });

/** The server waits no longer for what is under way. Another one may answer the request as it is. */
export const cutOff = (): RequestError =>
  new RequestError("the server is shutting down, and did not finish the request in time", {
    status: 503,
    type: "service_unavailable_error",
    code: "cut_off",
    headers: { "retry-after": "1", connection: "close" },
  });

/** `what`: what does not fit; by default one text. */
export const queueFull = (fault: QueueFullError, what = fault.message): RequestError =>
  new RequestError(fault.hint === null ? what : `${what}; ${fault.hint}`, {
    status: 429,
    type: "rate_limit_error",
    code: "queue_full",
    headers: { "retry-after": String(Math.max(1, Math.ceil(fault.retryAfter))) },
  });

/** The request took longer than the server allows. A client should not try it again as it is. */
export const timedOut = (seconds: number): RequestError =>
  new RequestError(`the request took longer than ${seconds} s`, {
    status: 504,
    type: "timeout_error",
    code: "timeout",
    headers: { "x-should-retry": "false" },
  });

/** The client went away: nobody reads this. */
export const gone = (): RequestError =>
  new RequestError("the client closed the request", { status: 499, type: "client_error", code: "closed" });

/** Codes of errors of the tokenizer, of chat templates and of constraints that the request's text causes. */
const OF_TEXT: ReadonlySet<string> = new Set(["bad-text", "bad-token", "bad-template", "too-slow", "bad-constraint"]);

/** Any error as the wire's. What is no fault of the request says nothing of the server's insides. */
export function wireError(fault: unknown): RequestError {
  if (fault instanceof RequestError) return fault;
  if (fault instanceof QueueFullError) return queueFull(fault);
  if (fault instanceof InputError) {
    if (fault.input === "live") return invalid(hinted(fault), "modc.live");
    const field = fault.input && snakeCase(fault.input);
    const message = hinted(fault);
    return invalid(field === null ? message : message.replaceAll(fault.input!, field), field);
  }
  if (fault instanceof ModcError) {
    if (fault.code === "engine-closed") return draining();
    if (OF_TEXT.has(fault.code)) return invalid(withoutFile(fault));
    if (fault.code === "busy") return unavailable(withoutFile(fault), "tokenizer_busy", fault);
    if (fault.code === "device-lost") return unavailable("the device was lost", "device_lost", fault);
    if (fault.code === "cache-full") return unavailable(fault.message, "cache_full", fault);
  }
  return new RequestError("the server failed; see its log", {
    status: 500,
    type: "server_error",
    code: "internal_error",
    cause: fault,
  });
}

/** The fault lies with the device: another server, or this one later, may answer. */
const unavailable = (message: string, code: string, cause: ModcError): RequestError =>
  new RequestError(message, {
    status: 503,
    type: "service_unavailable_error",
    code,
    headers: { "retry-after": "5" },
    cause,
  });

/** Where the files of the model lie is the server's own matter. */
function withoutFile(fault: ModcError): string {
  const file = fault instanceof TokenizerError ? fault.file : null;
  const owner = fault.code === "bad-template" ? "the model" : "the tokenizer";
  return file === null ? hinted(fault) : hinted(fault).replaceAll(file, owner);
}

/** The message and what it advises. */
export const hinted = ({ message, hint }: ModcError): string => (hint === null ? message : `${message}; ${hint}`);

/** `maxTokens` as the wire writes it. */
const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

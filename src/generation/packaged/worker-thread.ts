// In a worker: loads the package's model, and answers the program's calls.
import { inNode } from "../../runtime/device/device.js";
import type { GeneratedText, Summary } from "../generate/index.js";
import type { LoadedModel, PackagedModel } from "./model.js";
import { sentError, type Reply, type Request } from "./worker-messages.js";
import { unreadable, type ThreadPort } from "./worker-port.js";

/** Answers until the model is disposed of. */
export async function answer(model: PackagedModel): Promise<void> {
  if (!inNode()) return new Answers(model, pagePort()).listen();
  const { threadPort } = await import("./worker-node.js");
  const port = threadPort();
  if (port) new Answers(model, port).listen();
}

const pagePort = (): ThreadPort => ({
  post: (message, transfer) => postMessage(message, { transfer }),
  listen(onMessage) {
    // the program's end sends nothing else
    addEventListener("message", ({ data }: MessageEvent<Request>) => onMessage(data));
    addEventListener("messageerror", () => {
      throw unreadable();
    });
  },
  end: () => close(),
});

interface Call {
  readonly control: AbortController;
  tokens?: AsyncGenerator<GeneratedText, Summary>;
}

export class Answers {
  readonly #model: PackagedModel;
  readonly #port: ThreadPort;
  readonly #calls = new Map<number, Call>();
  readonly #answers = new Set<Promise<void>>();
  #loaded: LoadedModel | null = null;

  constructor(model: PackagedModel, port: ThreadPort) {
    [this.#model, this.#port] = [model, port];
  }

  listen(): void {
    this.#port.listen((request) => {
      if (request.kind === "dispose") {
        void this.#dispose();
        return;
      }
      const answered = this.#answer(request).catch((error: unknown) =>
        this.#post({ kind: "failed", id: request.id, error: sentError(error) }),
      );
      this.#answers.add(answered);
      void answered.then(() => this.#answers.delete(answered));
    });
  }

  #post(reply: Reply, transfer: ArrayBuffer[] = []): void {
    this.#port.post(reply, transfer);
  }

  async #dispose(): Promise<void> {
    this.#loaded?.dispose();
    const disposed = this.#loaded;
    // Calls that wait for their turn, and a load that is under way, which frees its device.
    for (const { control } of this.#calls.values()) control.abort();
    await Promise.all(this.#answers);
    if (this.#loaded !== disposed) this.#loaded?.dispose();
    await this.#loaded?.lost;
    this.#post({ kind: "ended" });
    this.#port.end();
  }

  async #answer(request: Exclude<Request, { kind: "dispose" }>): Promise<void> {
    const { id } = request;
    if (request.kind === "abort") return this.#calls.get(id)?.control.abort();
    if (request.kind === "return") {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      await call?.tokens?.return(undefined as never); // the value is not used
      return;
    }
    const call = this.#calls.get(id) ?? { control: new AbortController() };
    this.#calls.set(id, call);
    let goesOn = false;
    try {
      goesOn = await this.#reply(request, call);
    } finally {
      if (!goesOn) this.#calls.delete(id);
    }
  }

  /** Returns whether the call goes on. */
  async #reply(request: Exclude<Request, { kind: "dispose" | "abort" | "return" }>, call: Call): Promise<boolean> {
    const { id } = request;
    const { signal } = call.control;
    if (request.kind === "load") {
      const onProgress: NonNullable<typeof request.options.onProgress> = (progress) =>
        this.#post({ kind: "progress", progress });
      const loaded = (this.#loaded = await this.#model.load({ ...request.options, signal, onProgress }));
      void loaded.lost.then((error) => this.#post({ kind: "lost", error: sentError(error) }));
      this.#post({ kind: "loaded", id, device: loaded.device });
      return false;
    }
    const loaded = this.#loaded!; // no other call comes before it
    if (request.kind === "run") {
      const results = await loaded.run(request.inputs, { ...request.options, signal });
      const values = Object.entries(results).map(([name, { dtype, shape, data }]) => [name, { dtype, shape, data }]);
      this.#post({ kind: "results", id, values: Object.fromEntries(values) });
      return false;
    }
    if (request.begin) call.tokens = loaded.generate(request.begin.prompt, { ...request.begin.options, signal });
    const next = await call.tokens!.next();
    this.#post({ kind: "token", id, next });
    return next.done !== true;
  }
}

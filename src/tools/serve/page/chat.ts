// The page at `/`: a chat with the model, each token shaded by the layers that computed it.
import { ReplyError, Wire, type ChunkFacts, type ModelFacts, type Turn } from "./wire.js";

/** Shades from the fewest layers to the most; chat.css has a class for each. */
const SHADES = 8;

/** The page's element with this id. */
function named<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${id}`);
  return element;
}

class ChatPage {
  readonly #wire = new Wire();
  readonly #map = new RouteMap(named("map", HTMLCanvasElement), named("routes", HTMLElement));
  readonly #form = named("form", HTMLFormElement);
  readonly #question = named("question", HTMLTextAreaElement);
  readonly #send = named("send", HTMLButtonElement);
  readonly #texts = named("texts", HTMLElement);
  readonly #status = named("status", HTMLElement);
  readonly #key = named("key", HTMLInputElement);
  readonly #live = named("live", HTMLElement);
  #model: ModelFacts | null = null;
  #chat = false;
  #turns: Turn[] = [];
  #running: AbortController | null = null;

  start(): void {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#running) this.#running.abort();
      else void this.#ask();
    });
    this.#question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.#running) this.#form.requestSubmit();
    });
    named("reset", HTMLButtonElement).addEventListener("click", () => this.#reset());
    this.#key.addEventListener("change", () => {
      this.#wire.key = this.#key.value.trim();
      void this.#open();
    });
    void this.#open();
  }

  async #open(): Promise<void> {
    try {
      this.#model = await this.#wire.model();
      this.#chat = await this.#wire.hasTemplate();
    } catch (fault) {
      return this.#tell(fault);
    }
    const { id, modc } = this.#model;
    document.title = named("name", HTMLElement).textContent = id;
    const note = named("note", HTMLElement);
    note.hidden = this.#chat;
    note.textContent =
      "The model has no chat template: it continues each message alone, without the conversation above.";
    this.#say("");
    this.#live.replaceChildren(...modc.live.map((name) => liveField(name)));
    this.#clearMap();
    this.#question.focus();
  }

  #reset(): void {
    this.#running?.abort();
    this.#end();
    this.#turns = [];
    this.#texts.replaceChildren();
    this.#clearMap();
    this.#say("");
  }

  #clearMap(): void {
    this.#map.clear(this.#model?.modc.routes.map(({ path }) => path) ?? []);
  }

  async #ask(): Promise<void> {
    const content = this.#question.value;
    if (content.trim() === "" || !this.#model) return;
    // The browser tells what a field may hold.
    if (
      ![named("most", HTMLInputElement), ...this.#live.querySelectorAll("input")].every((own) => own.reportValidity())
    )
      return;
    if (!this.#chat && this.#texts.childElementCount > 0) this.#texts.append(document.createElement("hr"));
    this.#question.value = "";
    const turns: readonly Turn[] = [...this.#turns, { role: "user", content }];
    this.#addTurn("user", content);
    const shown = this.#addTurn("assistant", "");
    this.#clearMap();
    const own = (this.#running = new AbortController());
    this.#send.textContent = "Stop";
    let answer = "";
    try {
      const question = { turns, chat: this.#chat, ...this.#settings() };
      for await (const chunk of this.#wire.answer(question, own.signal)) {
        if (this.#running !== own) return; // forgotten
        answer += this.#show(chunk, shown);
        this.#texts.scrollTop = this.#texts.scrollHeight;
      }
    } catch (fault) {
      if (!own.signal.aborted) this.#tell(fault);
    }
    if (this.#running !== own) return;
    this.#end();
    if (answer !== "") this.#turns = [...turns, { role: "assistant", content: answer }];
  }

  #end(): void {
    this.#running = null;
    this.#send.textContent = "Send";
  }

  #settings(): { readonly temperature: number; readonly maxTokens: number; readonly live: Record<string, number> } {
    const live: Record<string, number> = {};
    for (const field of this.#live.querySelectorAll("input"))
      if (field.value !== "") live[field.name] = field.valueAsNumber;
    const [temperature, most] = [named("temperature", HTMLInputElement), named("most", HTMLInputElement)];
    return { temperature: temperature.valueAsNumber, maxTokens: most.valueAsNumber, live };
  }

  /** Shows a chunk; returns its text. */
  #show({ modc, finish_reason: finish }: ChunkFacts, shown: HTMLElement): string {
    if (modc?.prompt?.routes) this.#map.add(modc.prompt.routes, true);
    const tokens = modc?.tokens ?? [];
    this.#map.add(
      tokens.flatMap(({ routes }) => (routes ? [routes] : [])),
      false,
    );
    for (const { text, layers } of tokens) {
      const span = document.createElement("span");
      span.textContent = text;
      if (layers !== null) {
        span.className = `depth-${this.#shade(layers)}`;
        span.title = `${layers} layers`;
      }
      shown.append(span);
    }
    if (finish !== null && modc?.operations && modc.cache_bytes) {
      const share = ({ own, dense }: { readonly own: number; readonly dense: number }): string =>
        `${dense === 0 ? 100 : Math.round((100 * own) / dense)}%`;
      this.#say(
        `Compared with computing every layer for every token: ${share(modc.operations)} of the operations, ` +
          `${share(modc.cache_bytes)} of the cache.`,
      );
    }
    return tokens.map(({ text }) => text).join("");
  }

  #shade(layers: number): number {
    const { routes } = this.#model!.modc;
    const [least, most] = [routes[0]!.layers, routes.reduce((n, route) => n + route.layers, 0)];
    return most === least ? SHADES : Math.round((SHADES * (layers - least)) / (most - least));
  }

  #addTurn(role: Turn["role"], text: string): HTMLElement {
    const shown = document.createElement("p");
    shown.className = role;
    shown.textContent = text;
    this.#texts.append(shown);
    this.#texts.scrollTop = this.#texts.scrollHeight;
    return shown;
  }

  #tell(fault: unknown): void {
    if (fault instanceof ReplyError && fault.status === 401) named("key-field", HTMLElement).hidden = false;
    this.#say(fault instanceof Error ? fault.message : String(fault), true);
  }

  #say(text: string, fault = false): void {
    this.#status.textContent = text;
    this.#status.classList.toggle("fault", fault);
  }
}

/** A field for a live parameter; empty: the model's own value. */
function liveField(name: string): HTMLElement {
  const label = document.createElement("label");
  const field = document.createElement("input");
  field.type = "number";
  field.step = "any";
  field.name = name;
  field.placeholder = "as it is";
  label.append(name, field);
  return label;
}

// The map of routes: a column for each token, a row for each route with its name, filled where the token took it.

/** In pixels; a name is as high as a row with its gap. */
const [COLUMN, ROW, GAP] = [5, 14, 2];

class RouteMap {
  readonly #canvas: HTMLCanvasElement;
  readonly #names: HTMLElement;
  #columns: { readonly taken: readonly boolean[]; readonly prompt: boolean }[] = [];
  #rows = 0;

  constructor(canvas: HTMLCanvasElement, names: HTMLElement) {
    this.#canvas = canvas;
    this.#names = names;
  }

  /** Empties the map, and begins with these routes; "": the route of all tokens. */
  clear(paths: readonly string[]): void {
    this.#columns = [];
    this.#rows = paths.length;
    this.#names.replaceChildren(
      ...paths.map((path) => {
        const name = document.createElement("li");
        name.textContent = path === "" ? "all" : path;
        return name;
      }),
    );
    this.#draw(0);
  }

  add(tokens: readonly (readonly boolean[])[], prompt: boolean): void {
    const from = this.#columns.length;
    for (const taken of tokens) this.#columns.push({ taken, prompt });
    this.#draw(from);
  }

  /** A canvas loses what it shows when it grows: it grows by half, and is drawn again then. */
  #draw(from: number): void {
    const canvas = this.#canvas;
    const wanted = this.#columns.length * COLUMN;
    let first = from;
    if (wanted > canvas.width || from === 0) {
      canvas.width = Math.max(320, wanted * 1.5);
      canvas.height = this.#rows * (ROW + GAP);
      first = 0;
    }
    const context = canvas.getContext("2d");
    if (!context) return;
    const style = getComputedStyle(canvas);
    const [own, prompt, none] = ["--own", "--read", "--none"].map((name) => style.getPropertyValue(name).trim());
    for (let x = first; x < this.#columns.length; x++) {
      const column = this.#columns[x]!;
      column.taken.forEach((took, y) => {
        context.fillStyle = (took ? (column.prompt ? prompt : own) : none)!;
        context.fillRect(x * COLUMN, y * (ROW + GAP), COLUMN - 1, ROW);
      });
    }
  }
}

new ChatPage().start();

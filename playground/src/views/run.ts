// The run tab: continues a prompt, shades each token by the number of layers that computed it, and draws the map of
// routes.
import { ModcError } from "../../../src/ground/base/errors.js";
import weightsUrl from "../../../examples/moby.safetensors?url";
import type { Chosen, DeviceCalls, Layer, Mixture, RunEvent, WeightsChoice } from "../device/protocol.js";
import { choice, field, h } from "../dom.js";
import type { Source } from "../source.js";
import type { Remote } from "../worker/remote.js";
import { ExpertMap } from "./experts.js";
import { HeatMap, type Computed } from "./heat.js";
import { percent } from "./numbers.js";
import type { View, ViewContext } from "./view.js";
import { webgpuNote } from "./webgpu.js";

const WEIGHTS: readonly { readonly value: WeightsChoice; readonly label: string }[] = [
  { value: "trained", label: "trained, if they fit" },
  { value: "here", label: "trained here" },
  { value: "random", label: "random" },
];

export function runView(
  { say }: ViewContext,
  device: () => Remote<DeviceCalls>,
): View & { readonly takeTrained: () => void } {
  let source: Source | null = null;
  let running: AbortController | null = null;
  const prompt = h("textarea", { rows: 2, "aria-label": "Prompt" }, "Call me Ishmael. Some years ago");
  const tokens = h("input", { type: "number", min: 1, max: 2000, value: 100 });
  const temperature = h("input", { type: "number", min: 0, max: 5, step: 0.1, value: 0.7 });
  const seed = h("input", { type: "number", min: 0, max: 999999, step: 1, value: 1 });
  let weights: WeightsChoice = "trained";
  const pick = choice(WEIGHTS, weights, (value) => (weights = WEIGHTS.find((w) => w.value === value)!.value));
  const button = h(
    "button",
    { type: "button", class: "primary", onclick: () => (running ? running.abort() : void start()) },
    "Generate",
  );
  const status = h("p", { class: "note told" });
  const stream = h("div", { class: "stream", role: "log", "aria-label": "Text", "aria-live": "off", tabindex: 0 });
  const heat = new HeatMap();
  const experts = new ExpertMap();
  const legend = h(
    "p",
    { class: "note", hidden: true },
    "A token is darker the more routed layers computed it. Below: a column for each token, a row for each layer, " +
      "a dot for a skipped layer.",
  );
  const expertLegend = h(
    "p",
    { class: "note", hidden: true },
    "Experts: the numbers of the experts that a token took in each mixture, or nothing for a skipped layer. Below, " +
      "the load of each expert: darker is more, dashed is none.",
  );
  const note = webgpuNote("run");
  button.disabled = note !== null;
  const bar = h(
    "div",
    { class: "bar" },
    button,
    field("Tokens", tokens),
    field("Temperature", temperature),
    field("Seed", seed),
    field("Weights", pick),
  );
  const panel = h("div", {}, note, h("div", { class: "prompt" }, prompt), bar, status, stream, legend);
  panel.append(heat.element, expertLegend, experts.element);

  async function start(): Promise<void> {
    if (!source || running) return;
    const controller = new AbortController();
    running = controller;
    button.textContent = "Stop";
    stream.replaceChildren();
    heat.start([]);
    experts.start([]);
    legend.hidden = expertLegend.hidden = true;
    const shown = new Shown(stream, heat, experts);
    const began = performance.now();
    let text = "";
    let where = "";
    const onEvent = (event: RunEvent): void => {
      if (event.kind === "stage") status.textContent = `${event.text} …`;
      else if (event.kind === "ready") {
        status.textContent = where = `${event.device}; ${event.weights}`;
        say(`Generating with ${event.weights}`);
        legend.hidden = !event.layers.some((l) => l.routed);
        expertLegend.hidden = event.mixtures.length === 0;
        shown.start(event.layers, event.mixtures);
      } else if (event.kind === "prompt")
        event.pieces.forEach((piece, i) => shown.prompt(piece, event.computed[i]!, event.experts[i]!));
      else {
        status.textContent = where;
        text += event.text;
        shown.token(event.text, event.computed, event.experts);
      }
    };
    const ask = {
      source: { text: source.text, set: source.set },
      prompt: prompt.value,
      maxTokens: Math.max(1, Math.min(2000, Math.floor(tokens.valueAsNumber) || 1)),
      temperature: Math.max(0, temperature.valueAsNumber || 0),
      topP: 0.95,
      seed: Math.max(0, Math.floor(seed.valueAsNumber) || 0),
      weights,
      file: new URL(weightsUrl, document.baseURI).href,
    };
    try {
      const summary = await device().call("run", ask, { onEvent, signal: controller.signal });
      const rate = summary.generation > 0 ? (1000 * (summary.generatedTokens - 1)) / summary.generation : 0;
      const flops = summary.flops
        ? `, ${percent(summary.flops.own / summary.flops.dense)} of the operations of the dense model`
        : "";
      status.textContent =
        `${where}. ${summary.generatedTokens} tokens, ${rate.toFixed(1)} a second${flops}; ` +
        `${((performance.now() - began) / 1000).toFixed(1)} s in all`;
      panel.dataset["state"] = "done";
      say(`Generated: ${text}`);
    } catch (error) {
      fail(error, controller.signal.aborted);
    } finally {
      running = null;
      button.textContent = "Generate";
    }
  }

  function fail(error: unknown, stopped: boolean): void {
    if (stopped) {
      status.textContent = "stopped";
      return;
    }
    const hint = error instanceof ModcError && error.hint !== null ? ` ${error.hint}.` : "";
    say(error instanceof Error ? error.message : String(error));
    status.replaceChildren(
      h("span", { class: "fault" }, `${error instanceof Error ? error.message : String(error)}.`),
      hint,
    );
    panel.dataset["state"] = "failed";
  }
  const takeTrained = (): void => void (pick.value = weights = "here");
  return { id: "run", label: "Run", panel, takeTrained, show: async (shown) => void (source = shown) };
}

/** The generated text on the page. The layers that computed a token become known when the next token arrives. */
class Shown {
  #last: HTMLSpanElement | null = null;
  #routed: readonly Layer[] = [];
  #layers = 0;

  constructor(
    readonly stream: HTMLElement,
    readonly heat: HeatMap,
    readonly experts: ExpertMap,
  ) {}

  start(layers: readonly Layer[], mixtures: readonly Mixture[]): void {
    this.#routed = layers.filter((l) => l.routed);
    this.#layers = layers.length;
    this.heat.start(layers);
    this.experts.start(mixtures);
  }

  prompt(text: string, computed: Computed, chosen: Chosen): void {
    this.#append(text, "token given");
    this.#shade(computed);
    this.heat.add(text, computed);
    this.experts.add(text, chosen);
  }

  token(text: string, before: Computed | null, chosen: Chosen | null): void {
    if (before) {
      this.#shade(before);
      this.heat.fill(before);
    }
    if (chosen) this.experts.fill(chosen);
    this.#append(text, "token");
    this.heat.add(text, null);
    this.experts.add(text, null);
  }

  #append(text: string, name: string): void {
    this.#last = h("span", { class: name }, text);
    this.stream.append(this.#last);
    this.stream.scrollTop = this.stream.scrollHeight;
  }

  #shade(computed: Computed): void {
    const took = this.#routed.filter((l) => computed[l.axis] === true).length;
    const share = this.#routed.length === 0 ? 0 : took / this.#routed.length;
    if (!this.#last) return;
    this.#last.style.backgroundColor = `rgba(var(--heat), ${0.6 * share})`;
    this.#last.title = `${this.#layers - this.#routed.length + took} of ${this.#layers} layers`;
  }
}

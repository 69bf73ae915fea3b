// The run tab: continues a prompt, shades each token by the number of layers that computed it, and draws the map of
// routes.
import { ModcError } from "../../../src/ground/base/errors.js";
import weightsUrl from "../../../examples/moby.safetensors?url";
import type { Chosen, DeviceCalls, Layer, Mixture, RunEvent, WeightsChoice } from "../device/protocol.js";
import { choice, field, h } from "../dom.js";
import type { Source } from "../source.js";
import type { Remote } from "../worker/remote.js";
import type { Form } from "../compiler/form.js";
import { ExpertMap } from "./experts.js";
import { HeatMap, type Computed } from "./heat.js";
import { InputForm } from "./inputs.js";
import { percent } from "./numbers.js";
import type { GivenPicture } from "./pixels.js";
import { resultLines, routeMaps } from "./results.js";
import type { View, ViewContext } from "./view.js";
import { webgpuNote } from "./webgpu.js";

const WEIGHTS: readonly { readonly value: WeightsChoice; readonly label: string }[] = [
  { value: "trained", label: "trained, if they fit" },
  { value: "here", label: "trained here" },
  { value: "random", label: "random" },
];

export function runView(
  { compiler, say }: ViewContext,
  device: () => Remote<DeviceCalls>,
): View & { readonly takeTrained: () => void } {
  let source: Source | null = null;
  let form: Form | null = null;
  let running: AbortController | null = null;
  const prompt = h("textarea", { rows: 2, "aria-label": "Prompt" }, "Call me Ishmael. Some years ago");
  const inputs = new InputForm();
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
  const ofPrompts = [
    h("div", { class: "prompt" }, prompt),
    field("Tokens", tokens),
    field("Temperature", temperature),
  ] as const;
  const bar = h(
    "div",
    { class: "bar" },
    button,
    ofPrompts[1],
    ofPrompts[2],
    field("Seed", seed),
    field("Weights", pick),
  );
  const maps = h("div", {});
  const panel = h("div", {}, note, inputs.element, ofPrompts[0], bar, status, stream, legend);
  panel.append(heat.element, expertLegend, experts.element, maps);
  /** The button's word for a model that continues prompts, or runs once. */
  const verb = (): string => (form?.grows === null ? "Run" : "Generate");

  async function start(): Promise<void> {
    if (!source || running) return;
    const controller = new AbortController();
    running = controller;
    button.textContent = "Stop";
    stream.replaceChildren();
    maps.replaceChildren();
    delete panel.dataset["state"];
    heat.start([]);
    experts.start([]);
    legend.hidden = expertLegend.hidden = true;
    const shown = new Shown(stream, heat, experts);
    const began = performance.now();
    let text = "";
    let where = "";
    const picture: GivenPicture | null = inputs.picture();
    const onEvent = (event: RunEvent): void => {
      if (event.kind === "stage") status.textContent = `${event.text} …`;
      else if (event.kind === "ready") {
        status.textContent = where = `${event.device}; ${event.weights}`;
        say(`${form?.grows === null ? "Running" : "Generating"} with ${event.weights}`);
        legend.hidden = !event.layers.some((l) => l.routed);
        expertLegend.hidden = event.mixtures.length === 0;
        shown.start(event.layers, event.mixtures);
      } else if (event.kind === "prompt")
        event.pieces.forEach((piece, i) => shown.prompt(piece, event.computed[i]!, event.experts[i]!));
      else if (event.kind === "results") {
        const lines = event.results.flatMap(resultLines);
        stream.replaceChildren(...lines.map((line) => h("div", {}, line)));
        maps.replaceChildren(...routeMaps(event.maps, picture));
        say(lines.join("; "));
      } else {
        status.textContent = where;
        text += event.text;
        shown.token(event.text, event.computed, event.experts);
      }
    };
    const ask = {
      source: { text: source.text, set: source.set },
      prompt: form?.grows === null ? null : prompt.value,
      inputs: inputs.values(),
      maxTokens: Math.max(1, Math.min(2000, Math.floor(tokens.valueAsNumber) || 1)),
      temperature: Math.max(0, temperature.valueAsNumber || 0),
      topP: 0.95,
      seed: Math.max(0, Math.floor(seed.valueAsNumber) || 0),
      weights,
      file: new URL(weightsUrl, document.baseURI).href,
    };
    try {
      const summary = await device().call("run", ask, { onEvent, signal: controller.signal });
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      panel.dataset["state"] = "done";
      if (!summary) return void (status.textContent = `${where}; ${seconds} s`);
      const rate = summary.generation > 0 ? (1000 * (summary.generatedTokens - 1)) / summary.generation : 0;
      const flops = summary.flops
        ? `, ${percent(summary.flops.own / summary.flops.dense)} of the operations of the dense model`
        : "";
      const speed = `${rate.toFixed(1)} a second${flops}`;
      status.textContent = `${where}. ${summary.generatedTokens} tokens, ${speed}; ${seconds} s in all`;
      say(`Generated: ${text}`);
    } catch (error) {
      fail(error, controller.signal.aborted);
    } finally {
      running = null;
      button.textContent = verb();
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
  async function show(shown: Source): Promise<void> {
    source = shown;
    const found = await compiler.call("form", shown);
    if (source !== shown || !found) return;
    form = found;
    inputs.show(found);
    for (const element of ofPrompts) element.hidden = found.grows === null;
    if (!running) button.textContent = verb();
  }
  return { id: "run", label: "Run", panel, takeTrained, show };
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

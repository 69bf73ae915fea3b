// The page: an editor, and tabs that show the compiled model.
import { once } from "../../src/ground/base/once.js";
import type { Phase } from "../../src/language/check/model/model.js";
import type { Checked } from "./compiler/checked.js";
import { choice, field, h } from "./dom.js";
import { Editor } from "./editor/editor.js";
import { examples, FIRST } from "./examples.js";
import { holdsProgram, linkOf, programOf } from "./link.js";
import { ParameterForm } from "./parameters.js";
import { ProblemList } from "./problems.js";
import { Tabs } from "./tabs.js";
import { themeButton } from "./theme.js";
import { kernelsView } from "./views/kernels.js";
import { ledgerView } from "./views/ledger.js";
import { pictureView } from "./views/picture.js";
import { runView } from "./views/run.js";
import { TINY } from "./small.js";
import { trainView } from "./views/train.js";
import { stagesView } from "./views/stages.js";
import type { View, ViewContext } from "./views/view.js";
import { Workspace } from "./workspace.js";
import type { DeviceCalls } from "./device/protocol.js";
import type { CompilerCalls } from "./worker/protocol.js";
import type { Source } from "./source.js";
import { Remote } from "./worker/remote.js";

const PHASES: readonly { readonly value: Phase; readonly label: string }[] = [
  { value: "infer", label: "infer: the whole sequence" },
  { value: "generate", label: "generate: the causal rule" },
  { value: "train", label: "train: with the objective" },
];

function start(): void {
  const compiler = new Remote<CompilerCalls>(startWorker("compiler"));
  const first = examples.find((e) => e.name === FIRST)!;
  const editor = new Editor(compiler, first.text, () => workspace.typed());
  const announcer = h("div", { role: "status", "aria-live": "polite", class: "hidden" });
  const say = (text: string): void => void (announcer.textContent = text);
  const message = h("span", { class: "message", role: "status" });
  const notice = (text: string): void => {
    message.textContent = text;
    setTimeout(() => message.textContent === text && (message.textContent = ""), 8000);
  };
  const problems = new ProblemList((at) => editor.reveal(at));
  const parameters = new ParameterForm((set) => workspace.change({ set }));
  const context: ViewContext = { compiler, reveal: (at) => editor.reveal(at), say };
  const device = once(() => new Remote<DeviceCalls>(startWorker("device")));
  const run = runView(context, device);
  const tiny = (): (() => void) | null => {
    const set = TINY[picker.value];
    return set ? () => workspace.change({ set }) : null;
  };
  const train = trainView(context, device, { onTrained: run.takeTrained, tiny });
  const views: readonly View[] = [
    pictureView(context),
    stagesView(context),
    kernelsView(context),
    ledgerView(context),
    run,
    train,
  ];
  const tabs = new Tabs("Views of the model", views, () => void showTab());

  const stale = h(
    "p",
    { class: "note warn", hidden: true },
    "The source has errors: this is the last version without errors.",
  );
  /** The last source without errors. */
  let good: Source | null = null;
  async function showTab(): Promise<void> {
    const view = views.find((v) => v.id === tabs.shown)!;
    if (!good) return;
    const source = good;
    const old = JSON.stringify(source) !== JSON.stringify(workspace.source);
    view.panel.classList.toggle("stale", old);
    stale.hidden = !old;
    try {
      await view.show(source);
      document.documentElement.dataset["shown"] = view.id;
    } catch (error) {
      problems.fail(error instanceof Error ? error.message : String(error));
    }
  }
  const checked = (source: Source, found: Checked): void => {
    editor.showProblems(found.problems);
    problems.show(found);
    parameters.show(found.model?.parameters ?? [], workspace.set);
    if (found.weights !== null) good = source;
    document.documentElement.dataset["checked"] = String(Number(document.documentElement.dataset["checked"] ?? 0) + 1);
    void showTab();
  };
  const workspace = new Workspace(compiler, () => editor.text, {
    checked,
    failed: (message) => problems.fail(message),
  });

  const open = (name: string): void => {
    const example = examples.find((e) => e.name === name);
    if (!example) return;
    parameters.small = example.small;
    editor.text = example.text;
    workspace.change({ set: {} });
  };
  /** Opens the program in the address, if there is one. */
  const openLink = async (): Promise<void> => {
    if (!holdsProgram(location.hash)) return workspace.check();
    try {
      const program = await programOf(location.hash);
      picker.value = "";
      parameters.small = null;
      phase.value = program.phase;
      editor.text = program.text;
      workspace.change(program);
    } catch (error) {
      await workspace.check();
      notice(error instanceof Error ? error.message : String(error));
    }
  };
  const copyLink = async (): Promise<void> => {
    try {
      history.replaceState(null, "", await linkOf(workspace.source));
      await navigator.clipboard.writeText(location.href);
      notice("The link is copied: it contains the program, its parameters and phase");
    } catch (error) {
      notice(
        error instanceof DOMException
          ? "The address of this page is the link: copy it from there"
          : error instanceof Error
            ? error.message
            : String(error),
      );
    }
  };
  const phase = choice(PHASES, "infer", (value) =>
    workspace.change({ phase: PHASES.find((p) => p.value === value)!.value }),
  );
  const picker = choice(
    [...examples.map(({ name }) => ({ value: name, label: `${name}.mod` })), { value: "", label: "from a link" }],
    FIRST,
    open,
  );
  picker.options[picker.options.length - 1]!.disabled = true; // not selectable
  document
    .querySelector("#tools")!
    .append(
      field("Example", picker),
      field("Phase", phase),
      h("button", { type: "button", onclick: () => void copyLink() }, "Copy link"),
      message,
    );
  document.querySelector("#theme")!.append(themeButton());
  document.querySelector("#source")!.append(editor.element, parameters.element, problems.element);
  document.querySelector("#panels")!.append(stale, tabs.element, announcer);
  addEventListener("hashchange", () => void openLink());
  void openLink();
}

// The bundler requires the address and options as literals in the call.
const startWorker = (name: "compiler" | "device"): Worker =>
  name === "compiler"
    ? new Worker(new URL("./worker/worker.ts", import.meta.url), { type: "module", name: "compiler" })
    : new Worker(new URL("./worker/worker.ts", import.meta.url), { type: "module", name: "device" });

start();

// The interface of a tab's contents: a view shows the current source.
import type { CompilerCalls } from "../worker/protocol.js";
import type { Source } from "../source.js";
import type { Remote } from "../worker/remote.js";

export interface View {
  readonly id: string;
  readonly label: string;
  readonly panel: HTMLElement;
  /** Shows a source without errors. Called only while the tab is shown. */
  show(source: Source): Promise<void>;
}

/** Services that views share. */
export interface ViewContext {
  readonly compiler: Remote<CompilerCalls>;
  /** Shows a range of the source in the editor. */
  readonly reveal: (place: { readonly from: number; readonly to: number }) => void;
  /** Announces a text to screen readers. */
  readonly say: (text: string) => void;
}

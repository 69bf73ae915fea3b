// What a tab is to the page: it shows a source when it is looked at, and says so where it cannot.
import type { CompilerCalls } from "../worker/protocol.js";
import type { Source } from "../source.js";
import type { Remote } from "../worker/remote.js";

export interface View {
  readonly id: string;
  readonly label: string;
  readonly panel: HTMLElement;
  /** Shows a source that has no errors. Called only while the tab is shown. */
  show(source: Source): Promise<void>;
}

/** What views have in common. */
export interface ViewContext {
  readonly compiler: Remote<CompilerCalls>;
  /** Shows a place of the source in the editor. */
  readonly reveal: (place: { readonly from: number; readonly to: number }) => void;
  /** Says something to who cannot see it happen. */
  readonly say: (text: string) => void;
}

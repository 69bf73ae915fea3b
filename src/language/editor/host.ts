// The services that the editor engine needs from its environment: texts of closed files, and URIs of library files.

export interface Host {
  /** The text of a file; null if the file does not exist. */
  read(uri: string): string | null;
  /**
   * Why a model in this folder must not read the file, e.g. a link that leads out of the folder; null if the model may.
   */
  refusal(uri: string, folder: string): string | null;
  /** URIs of the workspace's `.mod` files. */
  files(): readonly string[];
  /** A URI at which editors can open a library file, given its name in spans; null if none exists. */
  libraryUri(file: string): string | null;
  /** The library file with this URI; null for other URIs. */
  libraryFile(uri: string): string | null;
}

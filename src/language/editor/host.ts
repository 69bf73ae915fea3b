// What the language server needs of the world: texts that are not open, and addresses of the library's files.

export interface Host {
  /** The text of a file; null where there is none. */
  read(uri: string): string | null;
  /** Why the file may not be read for a model in this folder, such as a link that leads out of it; null: it may. */
  refusal(uri: string, folder: string): string | null;
  /** Addresses of the `.mod` files of the workspace. */
  files(): readonly string[];
  /** Where an editor can open a file of the library, by its name in spans; null: nowhere. */
  libraryUri(file: string): string | null;
  /** The library's file at an address; null for others. */
  libraryFile(uri: string): string | null;
}

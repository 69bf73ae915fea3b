// Names of source files in what modc writes, which do not tell where on a disk the files were.

/** The path of a source file from the folder of the model's file; files of the library keep their names. */
export function withinFolder(file: string, model: string): string {
  if (/^std[/]/.test(file)) return file;
  const [own, folder] = [file.split(/[/\\]/), model.split(/[/\\]/).slice(0, -1)];
  let same = 0;
  while (same < folder.length && own[same] === folder[same]) same++;
  return [...folder.slice(same).map(() => ".."), ...own.slice(same)].join("/");
}

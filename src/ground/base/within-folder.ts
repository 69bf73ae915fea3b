// Names source files in modc's output without revealing their folder on the disk.

/** The path of a source file relative to the folder of the model's file; library files keep their names. */
export function withinFolder(file: string, model: string): string {
  if (/^std[/]/.test(file)) return file;
  const [segments, folder] = [file.split(/[/\\]/), model.split(/[/\\]/).slice(0, -1)];
  let same = 0;
  while (same < folder.length && segments[same] === folder[same]) same++;
  return [...folder.slice(same).map(() => ".."), ...segments.slice(same)].join("/");
}

/** Files out of what was dropped or chosen, folders with all that is in them. */

export type Found = { file: File; path: string };

export const ofInput = (list: FileList | null): Found[] => Array.from(list ?? [], (file) => ({ file, path: file.webkitRelativePath || file.name }));

export async function ofDrop(data: DataTransfer): Promise<Found[]> {
  // The list is empty after the first wait.
  const entries = Array.from(data.items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (entries.length === 0) return ofInput(data.files);
  const found: Found[] = [];
  for (const entry of entries) await walk(entry, '', found);
  return found;
}

async function walk(entry: FileSystemEntry, within: string, found: Found[]): Promise<void> {
  const path = within + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File | null>((resolve) => (entry as FileSystemFileEntry).file(resolve, () => resolve(null)));
    if (file) found.push({ file, path });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // At most a hundred at a time, until there are none.
    const some = await new Promise<FileSystemEntry[]>((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return;
    for (const one of some) await walk(one, `${path}/`, found);
  }
}

/** Gives something to whoever sits there, as a file. */

/** How long the browser may take to begin with it. */
const KEPT_MS = 60_000;

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/** A cell that no spreadsheet takes for a formula. */
function cell(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return `"${safe.replaceAll('"', '""')}"`;
}

export const csv = (rows: string[][]) => new Blob(rows.map((row) => `${row.map(cell).join(',')}\r\n`), { type: 'text/csv' });

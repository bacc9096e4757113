import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The procedures of the workloads: compiled, or as they are written when the source is run as it is. */
export function proceduresFile(): string {
  const paths = ['procedures.js', 'procedures.ts'].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`none of ${paths.join(', ')} is there`);
  return found;
}

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A module beside this one: compiled, or as it is written when the source is run as it is. */
export function sourceFile(name: string): string {
  const paths = [`${name}.js`, `${name}.ts`].map((file) =>
    fileURLToPath(new URL(file, import.meta.url)),
  );
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`none of ${paths.join(', ')} is there`);
  return found;
}

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** @returns where the program is, or `null` where it is not on the path */
export function findProgram(name: string): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here: the next folder may have it.
    }
  }
  return null;
}

/** @returns a sentence on those that are not there, or `null` */
export function missingPrograms(packages: Readonly<Record<string, string>>): string | null {
  const missing = Object.keys(packages).filter((program) => findProgram(program) === null);
  if (missing.length === 0) return null;
  const names = missing.map((program) => packages[program]);
  return `${missing.join(' and ')} not found (Debian: apt-get install ${names.join(' ')})`;
}

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BalsaError } from '../base/errors.js';

/** From `dist/cluster`, and from `src/cluster` when the source is run as it is. */
const CANDIDATES = ['../cli/main.js', '../../dist/cli/main.js'];

/** The compiled `balsa` command of this package. */
export function findEntry(): string {
  const paths = CANDIDATES.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new BalsaError(
    'FILE_UNREADABLE',
    `the balsa command is not there (looked for ${paths.join(', ')}); run: npm run build`,
  );
}

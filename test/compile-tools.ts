import { execFile } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Compiles the project below `root` as `npm run build:tools` does, into a folder below its packages, and without a look at
 * the types: that is the concern of `npm run typecheck`.
 *
 * @throws when it cannot be compiled: what an earlier one has left must not be run
 */
export async function compileTools(root: string, folder: string): Promise<void> {
  const args = ['-p', join(root, 'tsconfig.tools.json'), '--noCheck', '--outDir', folder];
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), args);
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
}

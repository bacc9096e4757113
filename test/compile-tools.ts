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
  await compile(root, 'tsconfig.tools.json', folder);
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
}

/** As {@link compileTools}, what `npm run build` makes of `src`, in the `dist` of the project; not joined into few files. */
export async function compileSource(root: string): Promise<void> {
  await compile(root, 'tsconfig.build.json', join(root, 'dist'));
}

async function compile(root: string, project: string, folder: string): Promise<void> {
  const args = ['-p', join(root, project), '--noCheck', '--outDir', folder];
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), args);
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleProcedures } from '../src/compute/bundle.js';

type ProcedureBundle = Awaited<ReturnType<typeof bundleProcedures>>;

/** What `balsa deploy` would make of a file with this code. */
export async function bundleOf(code: string): Promise<ProcedureBundle> {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-bench-'));
  try {
    const file = join(folder, 'procedures.ts');
    writeFileSync(file, code);
    return await bundleProcedures(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compileUserModule } from '../../src/compute/user-module.js';

test('what a killed process has made of the module is taken away, and that of a living one is not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'balsa-user-module-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { pid: gone } = spawnSync(process.execPath, ['-e', '']);
  const others = [
    `.tasks.ts.${process.ppid}.balsa.mjs`,
    '.tasks.ts.mine.balsa.mjs',
    `.b.ts.${gone}.balsa.mjs`,
  ];
  for (const name of [...others, `.tasks.ts.${gone}.balsa.mjs`])
    writeFileSync(join(folder, name), '');
  const file = join(folder, 'tasks.ts');
  writeFileSync(file, 'export const answer: number = 42;');

  const compiled = await compileUserModule(file);
  expect((await import(compiled.url)).answer).toBe(42);
  expect(readdirSync(folder).sort()).toEqual(
    [...others, `.tasks.ts.${process.pid}.balsa.mjs`, 'tasks.ts'].sort(),
  );
  compiled.remove();
  expect(readdirSync(folder).sort()).toEqual([...others, 'tasks.ts'].sort());
});

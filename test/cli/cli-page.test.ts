import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { splitWords } from '../../src/cli/words.js';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

/** Every line of `docs/cli.md` does what it says: it ends with 0, unless the page says otherwise behind `#`. */

const page = readFileSync(resolve(import.meta.dirname, '../../docs/cli.md'), 'utf8');
const lines = page.split('\n').filter((line) => line.startsWith('    '));

test('the lines of docs/cli.md work as they are written', async () => {
  const store = await MachineStore.open();
  for (const line of lines) {
    const [, command = '', exit = '0'] = /^ {4}(.*?)(?: +# exit code (\d+))?$/.exec(line) ?? [];
    const [, printed, balsa = command] = /^(printf '[^']*') \| (.*)$/.exec(command) ?? [];
    const stdin = input(printed === undefined ? '' : execFileSync('sh', ['-c', printed]));
    const [name, ...args] = splitWords(balsa).words.map((word) => word.text);
    expect(name, line).toBe('balsa');
    const result = await store.run(args, { stdin });
    expect(result.exit, `${line}\n${result.stderr}`).toBe(Number(exit));
  }
  expect(lines.length).toBeGreaterThan(5);
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from './fakes.js';

/** The table of commands in README.md and the command itself name the same. */

const README = join(import.meta.dirname, '../../README.md');

/** As `balsa --help` lists them; of a group of commands each one. */
async function listed(path: readonly string[] = []): Promise<string[]> {
  const { stdout } = await run([...path, '--help']);
  const block = /^Commands:\n((?: .*\n)+)/m.exec(stdout)?.[1] ?? '';
  const names = [...block.matchAll(/^ {2}(\S+)/gm)].map(([, name = '']) => name);
  if (names.length === 0) return [path.join(' ')];
  const inner = names.filter((name) => name !== 'help').map((name) => listed([...path, name]));
  return (await Promise.all(inner)).flat();
}

/** `lease grant` `revoke` in a row stands for both commands of the group. */
function inTable(): string[] {
  const table = readFileSync(README, 'utf8').split('| command | what it does |\n')[1] ?? '';
  const rows = table.slice(0, table.indexOf('\n\n')).split('\n').slice(1);
  return rows.flatMap((row) => {
    const named = [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(
      ([, name = '']) => name,
    );
    let group = '';
    return named.map((name) => {
      const space = name.indexOf(' ');
      if (space !== -1) group = name.slice(0, space);
      return space === -1 && group !== '' ? `${group} ${name}` : name;
    });
  });
}

test('README.md has all commands in its table, and no others', async () => {
  const commands = await listed();
  const named = inTable();
  expect(commands.length).toBeGreaterThan(40);
  expect(named.toSorted()).toEqual(commands.toSorted());
});

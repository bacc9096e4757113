import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

/** A transaction in a shell is the lines behind `txn`: none of them is a command of its own. */

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
  await store.run(['put', 'lock', 'mine']);
});

const shell = (text: string) => store.run(['shell'], { stdin: input(text) });
const held = async (key: string) => (await store.run(['get', key])).stdout;

describe('txn in a piped shell', () => {
  test('does nothing when its condition does not hold, and what follows the . is a command', async () => {
    const text = 'txn\nabsent(lock)\n\nput lock STOLEN\n\nget lock\n.\nput after 1\n';
    const { exit, stdout } = await shell(text);
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'FAILURE\nlock\tmine\n2\n' });
    expect(await held('lock')).toBe('mine');
  });

  test('goes to the end of the input without a .', async () => {
    const { exit } = await shell('txn\nabsent(lock)\n\nput lock STOLEN\n');
    expect(exit).toBe(4);
    expect(await held('lock')).toBe('mine');
    expect((await shell('txn\nexists(lock)\n\nput lock yours')).exit).toBe(0);
    expect(await held('lock')).toBe('yours');
  });

  test.each([
    ['a condition that is none', 'txn\nabsnt(lock)\n\nput lock STOLEN\n.\nput after 1\n'],
    ['a flag that is none', 'txn --bogus\nabsent(lock)\n\nput lock STOLEN\n.\nput after 1\n'],
    ['a flag that may take a value', 'txn --bogus x\n\nput lock STOLEN\n.\nput after 1\n'],
    ['a quote that is open', 'txn "\nabsent(lock)\n\nput lock STOLEN\n.\nput after 1\n'],
  ])('that fails for %s takes its lines with it', async (_, text) => {
    const { stdout, stderr } = await shell(text);
    expect(stderr).toContain('error');
    expect(stdout).toBe('2\n');
    expect(await held('lock')).toBe('mine');
    expect(await held('after')).toBe('1');
  });

  test('is known behind flags, and behind the word balsa', async () => {
    const body = 'absent(lock)\n\nput lock STOLEN\n.\n';
    await shell(`balsa txn\n${body}-o json txn -\n${body}--timeout=5s txn --output json\n${body}`);
    expect(await held('lock')).toBe('mine');
  });

  test('with a file takes no lines', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'balsa-cli-')), 'txn');
    writeFileSync(path, '\nput a 1\n');
    const { stdout } = await shell(`txn -o raw ${path}\nget a\n`);
    expect(stdout).toMatch(/^SUCCESS\nOK\n1/);
    expect((await shell('txn --help\nput b 2\n')).exit).toBe(0);
    expect(await held('b')).toBe('2');
  });

  test('of --command is in those that follow', async () => {
    const lines = ['txn', 'absent(lock)', '', 'put lock STOLEN', '.', 'get lock'];
    const { stdout, exit } = await store.run([
      'shell',
      ...lines.flatMap((line) => ['--command', line]),
    ]);
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'FAILURE\nmine' });
  });
});

describe('txn at a prompt', () => {
  test('asks for its lines, and Ctrl-C drops them', async () => {
    const { stdin, running, shown } = store.beginShell();
    const prompts = () => shown().split('txn> ').length - 1;
    const type = async (text: string, what: string, holds: () => boolean) => {
      stdin.write(text);
      await store.waitUntil(what, holds);
    };
    await type('txn\r', 'a prompt for its lines', () => prompts() >= 1);
    await type('\r', 'another one', () => prompts() >= 2);
    const asked = shown().length;
    await type('put lock STOL\u0003', 'the usual prompt', () =>
      /(?:connected|term \d+\))> /.test(shown().slice(asked)),
    );
    await type('get lock\r', 'the value', () => shown().includes('mine\n'));
    await type('txn\r', 'a prompt', () => shown().slice(asked).includes('txn> '));
    await type('exists(lock)\r\rput lock new\r.\r', 'success', () => shown().includes('SUCCESS'));
    stdin.write('\u0004');
    const { exit, stderr } = await store.h.until(running);
    expect(exit).toBe(0);
    expect(stderr).toContain('a line with . alone sends it\n');
    expect(stderr).toContain('interrupted\n');
    expect(await held('lock')).toBe('new');
  });
});

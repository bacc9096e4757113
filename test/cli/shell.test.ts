import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { beforeEach, describe, expect, test } from 'vitest';
import { complete, hintFor } from '../../src/cli/shell/completion.js';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

/** Lines from a pipe. */
function shell(lines: readonly string[], args: readonly string[] = []) {
  return store.run(['shell', ...args], { stdin: input(lines.join('\n')) });
}

describe('a shell that is fed by a pipe', () => {
  test('runs each line as a command, and goes on behind errors', async () => {
    const result = await shell([
      'put a "one two"',
      'get a',
      'pot a',
      'get nothing',
      'put b "open',
      '',
      '# a comment',
      'balsa put b 2',
      'range --keys-only',
    ]);
    expect(result.exit).toBe(0);
    expect(result.stdout).toBe('1\none two\n2\na\nb\n');
    expect(result.stderr).toContain("unknown command 'pot'");
    expect(result.stderr).toContain('not found: nothing\n');
    expect(result.stderr).toContain('a quote is opened and never closed: "');
  });

  test('exits as its last command did', async () => {
    expect((await shell(['put a 1', 'put a 2 --if-version 7'])).exit).toBe(4);
    expect((await shell(['get zzz', 'put a 1'])).exit).toBe(0);
  });

  test('--command runs one line, and more of them in order', async () => {
    const args = ['shell', '--command', 'put a 1', '--command', 'get a -o json'];
    const { stdout, exit } = await store.run(args);
    expect(exit).toBe(0);
    expect(JSON.parse(stdout.split('\n')[1] ?? '')).toMatchObject({ key: 'a', value: '1' });
  });

  test('has one connection for all its commands, and closes it', async () => {
    let opened = 0;
    const closed: string[] = [];
    const connect: typeof store.connect = async (options) => {
      opened += 1;
      const client = await store.connect(options);
      const close = client.close.bind(client);
      return Object.assign(client, {
        close: async () => {
          closed.push('closed');
          await close();
        },
      });
    };
    const stdin = input('put a 1\nget a\nrange\ncount\n');
    const result = await store.run(['shell', '--namespace', 'n'], { stdin, connect });
    expect(result).toMatchObject({ exit: 0, stdout: '1\n1\na\t1\n1\n' });
    expect({ opened, closed }).toEqual({ opened: 1, closed: ['closed'] });
  });

  test('its own flags hold for all commands, and those of a command have the last word', async () => {
    const lines = ['put a 1', 'get a', 'get a -o raw'];
    const { stdout } = await shell(lines, ['-o', 'json', '--consistency', 'any']);
    const [, read = '', raw] = stdout.split('\n');
    expect(JSON.parse(read)).toMatchObject({ meta: { level: 'any' } });
    expect(raw).toBe('1');
  });

  test('what is changed in it comes before what the environment says', async () => {
    const env = { BALSA_NAMESPACE: 'shop', BALSA_OUTPUT: 'json' };
    const lines = ['put b 1', '.namespace -', '.output default', 'put a 2', 'range'];
    const result = await store.run(['shell'], { stdin: input(lines.join('\n')), env });
    expect(result.exit).toBe(0);
    expect(result.stdout.split('\n').slice(1)).toEqual(['2', 'a\t2', 'shop/b\t1', '']);
  });

  test('stdin is its own: a command that wants it is told so, and does not eat lines', async () => {
    const result = await shell(['put a -', 'put b 2']);
    expect(result.stdout).toBe('1\n');
    expect(result.stderr).toContain('error FILE_UNREADABLE: stdin: the shell reads it itself');
  });

  test('refuses what wants a process of its own', async () => {
    const result = await shell(['shell', 'start --name n1']);
    expect(result.exit).toBe(2);
    expect(result.stderr).toContain('shell wants a terminal of its own');
  });
});

describe('dot-commands', () => {
  test('.consistency, .output and .namespace hold from then on', async () => {
    const { stdout, stderr, exit } = await shell([
      '.consistency',
      '.consistency bounded:2s',
      '.output json',
      '.namespace app',
      'put k v',
      'get k',
      '.namespace -',
      '.output raw',
      'get app/k',
    ]);
    expect(exit).toBe(0);
    const lines = stdout.split('\n');
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ key: 'k', meta: { level: 'bounded' } });
    expect(lines[2]).toBe('v');
    expect(stderr).toBe(
      'consistency linearizable\nconsistency bounded:2000ms\noutput json\nnamespace app\n' +
        'no namespace\noutput raw\n',
    );
  });

  test('.timing tells how long each command takes', async () => {
    let nowMs = 0;
    const nowMsOf = (): number => {
      nowMs += 2.5;
      return nowMs;
    };
    const stdin = input('put a 1\n.timing on\nget a\n.timing off\nget a\n');
    const { stderr } = await store.run(['shell'], { stdin, nowMs: nowMsOf });
    expect(stderr).toBe('timing on\n2.5 ms\ntiming off\n');
  });

  test('.exit ends it, .help lists them, and what is misspelt is suggested', async () => {
    const { stdout, stderr } = await shell([
      '.help',
      '.timming',
      '.timing maybe',
      '.exit',
      'put a 1',
    ]);
    expect(stdout).toBe('');
    for (const name of ['.consistency', '.timing', '.output', '.nodes', '.exit']) {
      expect(stderr).toContain(`  ${name} `);
    }
    expect(stderr).toContain('there is no .timming (Did you mean .timing?)');
    expect(stderr).toContain('.timing is on or off');
  });
});

describe('a shell on a terminal', () => {
  beforeEach(async () => {
    store = await MachineStore.model();
  });

  /** A terminal whose user types a line when he sees a prompt. */
  async function typing(lines: readonly string[], options: { history?: string } = {}) {
    const { stdin, running } = store.beginShell(['--history', options.history ?? 'off']);
    for (const line of [...lines, '\u0004']) {
      stdin.write(line === '\u0004' ? line : `${line}\r`);
      await store.sleepFor(50);
    }
    return await store.h.until(running);
  }

  test('shows who leads in the prompt', async () => {
    const { stdout, exit } = await typing(['put a 1', '.namespace app']);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/\(leader n1, term \d+\)> /);
    expect(stdout).toMatch(/\/app\(leader n1, term \d+\)> /);
    expect(stdout).toContain('stored at revision 1\n');
  });

  test('says so when it is not connected, and connects by itself later', async () => {
    for (const replica of store.h.cluster.replicas) replica.condition = 'refuses';
    const flags = ['--history', 'off', '--timeout', '500ms'];
    const { stdin, running, shown } = store.beginShell(flags);
    await store.waitUntil('the prompt', () => shown().includes('not connected> '));
    for (const replica of store.h.cluster.replicas) replica.condition = 'up';
    stdin.write('put a 1\r');
    await store.waitUntil('the prompt', () => /leader n1, term \d+\)> /.test(shown()));
    stdin.write('\u0004');
    expect(await store.h.until(running)).toMatchObject({ exit: 0 });
  });

  test('completes the names of procedures', async () => {
    store = await MachineStore.open();
    const procedures = [{ name: 'transfer', mode: 'cp' as const, trigger: null }];
    const bundle = { hash: 'ab'.repeat(32), code: 'return {};', procedures };
    await store.h.until(store.db.procedures.deploy(bundle));

    const { stdin, running, shown } = store.beginShell();
    stdin.write('proc remove tr');
    await store.waitUntil('the line', () => shown().includes('remove tr'));
    // Alone: what is pasted is not completed.
    stdin.write('\t');
    await store.waitUntil('the whole name', () => shown().includes('ansfer'));
    stdin.write('\r');
    await store.waitUntil('what was done', () => shown().includes('removed transfer@prod\n'));
    stdin.write('\u0004');
    expect(await store.h.until(running)).toMatchObject({ exit: 0 });
  });

  test('keeps its lines in a file that only its owner can read', async () => {
    const history = join(mkdtempSync(join(tmpdir(), 'balsa-cli-')), 'state', 'history');
    await typing(['put a 1', ' put secret 1', 'get a'], { history });
    expect(readFileSync(history, 'utf8')).toBe('put a 1\nget a\n');
    expect(statSync(history).mode & 0o777).toBe(0o600);
    // Arrow up twice: the line before the last one.
    const again = await typing(['\u001b[A\u001b[A'], { history });
    expect(again.stdout).toContain('stored at revision');
  });

  test('off keeps nothing, and a folder in its place is no reason to end', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'balsa-cli-'));
    writeFileSync(join(folder, 'file'), '');
    const { exit, stderr } = await typing(['get a'], { history: join(folder, 'file', 'history') });
    expect(exit).toBe(0);
    expect(stderr).toContain('the history is not kept: ');
    expect(existsSync('off')).toBe(false);
  });
});

describe('completion', () => {
  const program = new Command('balsa').option('--namespace <name>');
  program.command('get <key>').option('--rev <n>');
  program.command('put <key> [value]').option('--lease <id>');
  program.command('lease').command('grant <ttl>');
  const proc = program.command('proc');
  const route = new Option('--route <where>').choices(['lane', 'any']);
  proc.command('call <ref> [json]').addOption(route);
  proc.command('rollback <ref>').option('--to <hash>');
  proc.command('list');
  const procedures = async (): Promise<string[]> => ['open', 'transfer', 'transfer@staging'];
  const keys = async (prefix: string): Promise<string[]> =>
    ['user/ada', 'user/bob', 'a key', 'zoo'].filter((key) => key.startsWith(prefix));

  test.each([
    ['ge', ['get']],
    [
      '',
      [
        'get',
        'put',
        'lease',
        'proc',
        '.consistency',
        '.timing',
        '.output',
        '.namespace',
        '.nodes',
        '.help',
        '.exit',
      ],
    ],
    ['.con', ['.consistency']],
    ['.consistency b', ['bounded:500ms']],
    ['get us', ['user/ada', 'user/bob']],
    ['get "a', ['"a key"']],
    ['put zoo ', []],
    ['get --re', ['--rev']],
    ['get user/ada --name', ['--namespace']],
    ['lease ', ['grant']],
    ['get --prefix user/a', ['user/ada']],
    ['get -o j', ['json']],
    ['proc call tra', ['transfer', 'transfer@staging']],
    ['proc call transfer ', []],
    ['proc call transfer --route ', ['lane', 'any']],
    ['proc rollback ', ['open', 'transfer', 'transfer@staging']],
    ['proc rollback open --to ', []],
    ['proc list ', []],
    ['nothing here', []],
  ])('of %j', async (line, expected) => {
    const [hits] = await complete(line, program, { keys, procedures });
    expect(hits).toEqual(expected);
  });

  test.each([
    ['put ', '<key> [value]'],
    ['put a ', '[value]'],
    ['put a b ', ''],
    ['put', ''],
    ['lease ', 'grant'],
    ['lease grant ', '<ttl>'],
    ['nothing ', ''],
  ])('the hint behind %j is %j', (line, hint) => {
    expect(hintFor(line, program)).toBe(hint);
  });
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import type { CallProcedureRequest } from '../../src/rpc/protocol.js';
import { temporaryFolder } from '../whole/support.js';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

const FIRST = `aaaa${'0'.repeat(60)}`;
const SECOND = `aabb${'0'.repeat(60)}`;
const THIRD = `cccc${'0'.repeat(60)}`;

/** Deploys code of which nothing is run. */
async function deploy(
  hash: string,
  names: readonly string[],
  alias = 'prod',
  trigger: string | null = null,
): Promise<void> {
  const procedures = names.map((name) => ({ name, mode: 'cp' as const, trigger }));
  await store.h.until(
    store.db.procedures.deploy({ hash, code: 'return {};', procedures }, { alias }),
  );
  await store.sleepFor(1000);
}

function linesOf(text: string): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test.each([
  [['deploy', 'bank.ts'], 'deploy'],
  [['proc', 'list'], 'proc list'],
  [['proc', 'call', 'transfer'], 'proc call'],
  [['proc', 'stats'], 'proc stats'],
])('a namespace is refused, since procedures are of the whole cluster: %j', async (args, name) => {
  const given = await store.run([...args, '--namespace', 'acme']);
  const { stderr: ofVariable } = await store.run(args, { env: { BALSA_NAMESPACE: 'acme' } });

  expect(given).toMatchObject({ exit: 2, stdout: '' });
  expect(given.stderr).toMatch(
    new RegExp(`^error INVALID_ARGUMENT: ${name}: procedures are of the whole cluster, `),
  );
  expect(ofVariable).toBe(given.stderr);
});

describe('proc list', () => {
  test('without a majority does not advise what it was given', async () => {
    store.h.cluster.fate = (request) =>
      request.type === 'procedures' ? new BalsaError('NO_QUORUM', 'no majority') : undefined;
    const args = ['proc', 'list', '--consistency', 'any', '--timeout', '1s'];
    const { stderr } = await store.run(args);
    expect(stderr).toMatch(
      /^error NO_QUORUM: .*\ntry: balsa status shows who is missing; only a majority/,
    );
  });

  test('has a line for each alias of each procedure', async () => {
    await deploy(FIRST, ['transfer', 'open']);
    await deploy(SECOND, ['transfer']);
    await deploy(SECOND, ['transfer'], 'staging');

    const { stdout, exit } = await store.run(['proc', 'list', '-o', 'json']);

    expect(exit).toBe(0);
    expect(linesOf(stdout)).toMatchObject([
      { name: 'open', alias: 'prod', mode: 'cp', hash: FIRST, versions: 1 },
      { name: 'transfer', alias: 'prod', hash: SECOND, versions: 2 },
      { name: 'transfer', alias: 'staging', hash: SECOND, versions: 1 },
    ]);
    const some = await store.run(['proc', 'list', '--alias', 'staging']);
    expect(some.stdout.split('\n')).toEqual([
      'PROCEDURE\tALIAS\tMODE\tCODE\tSINCE\tVERSIONS\tTRIGGER',
      expect.stringMatching(`^transfer\tstaging\tcp\t${SECOND}\t1970-01-01T00:00:\\d\\dZ\t1\t-$`),
      '',
    ]);
  });

  test('and show say which are ap', async () => {
    const procedures = [{ name: 'view', mode: 'ap' as const, trigger: null }];
    await store.h.until(store.db.procedures.deploy({ hash: FIRST, code: 'x', procedures }));
    await store.sleepFor(1000);

    expect((await store.run(['proc', 'list'])).stdout).toContain(`\nview\tprod\tap\t${FIRST}`);
    expect(await store.json(['proc', 'show', 'view'])).toMatchObject({ mode: 'ap' });
    const terminal = { isTerminal: true, env: { NO_COLOR: '1' } };
    const { stdout } = await store.run(['proc', 'show', 'view'], terminal);
    expect(stdout).toMatch(/^mode +ap: writes mergeable cells, at any replica, also alone$/m);
  });

  test('is a table for people, and says when there is nothing', async () => {
    const none = await store.run(['proc', 'list'], { isTerminal: true });
    expect(none).toMatchObject({ exit: 0, stdout: '', stderr: 'no procedures\n' });

    await deploy(FIRST, ['transfer']);
    const { stdout } = await store.run(['proc', 'list'], {
      isTerminal: true,
      env: { NO_COLOR: '1' },
    });

    expect(stdout).toMatch(
      /^PROCEDURE {2}ALIAS {2}MODE {2}CODE {10}SINCE {17}VERSIONS {2}TRIGGER\n/,
    );
    expect(stdout).toMatch(/\ntransfer {3}prod {3}cp {4}aaaa00000000 {2}1970-\S+Z {9}1 {2}-\n$/);
  });
});

describe('proc show', () => {
  test('lists what a name has stood for, the present code first', async () => {
    await deploy(FIRST, ['transfer']);
    await deploy(SECOND, ['transfer']);

    expect(await store.json(['proc', 'show', 'transfer'])).toMatchObject({
      name: 'transfer',
      alias: 'prod',
      mode: 'cp',
      versions: [
        { hash: SECOND, current: true },
        { hash: FIRST, current: false },
      ],
    });
    const { stdout } = await store.run(['proc', 'show', 'transfer@prod'], {
      isTerminal: true,
      env: { NO_COLOR: '1' },
    });
    expect(stdout).toMatch(/^procedure {2}transfer\nalias {6}prod\nmode {7}cp: a transaction\n/);
    expect(stdout).toMatch(/\naabb00000000 {2}\S+ {2}current\naaaa00000000 {2}\S+\n$/);
  });

  test('says what calls it, when it is what is written', async () => {
    await deploy(FIRST, ['onOrder'], 'prod', 'orders/');

    expect(await store.json(['proc', 'show', 'onOrder'])).toMatchObject({ trigger: 'orders/' });
    const { stdout } = await store.run(['proc', 'show', 'onOrder'], { isTerminal: true });
    expect(stdout).toContain('writes to orders/\n');
    expect((await store.run(['proc', 'list'])).stdout).toMatch(/\nonOrder\t.*\torders\/\n$/);
  });

  test.each([
    ['transfer@staging', 'there is no procedure transfer@staging; there is transfer@prod\n'],
    ['transfr', 'there is no procedure transfr@prod (Did you mean transfer?)\n'],
    ['elephant', 'there is no procedure elephant@prod\n'],
  ])('of %s says what is there instead, exit 3', async (reference, message) => {
    await deploy(FIRST, ['transfer']);

    const { exit, stderr } = await store.run(['proc', 'show', reference]);

    expect(exit).toBe(3);
    expect(stderr).toContain(message);
  });

  test('refuses what is no name, exit 2', async () => {
    expect(await store.run(['proc', 'show', '7up'])).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('"7up" is no name of a procedure'),
    });
  });
});

describe('proc rollback', () => {
  beforeEach(async () => {
    for (const hash of [FIRST, SECOND, THIRD]) await deploy(hash, ['transfer']);
  });

  const current = async (): Promise<unknown> => {
    const { versions } = await store.json(['proc', 'show', 'transfer']);
    return (versions as { hash: string }[])[0]?.hash;
  };

  test('goes back to what the name stood for last', async () => {
    const { stdout } = await store.run(['proc', 'rollback', 'transfer'], {
      isTerminal: true,
      env: { NO_COLOR: '1' },
    });

    expect(stdout).toBe('rolled back transfer@prod: cccc00000000 → aabb00000000\n');
    expect(await current()).toBe(SECOND);
    // What it stands for now comes first, so that doing it again goes back again.
    expect((await store.run(['proc', 'rollback', 'transfer'])).stdout).toBe(`${THIRD}\n`);
  });

  test('goes to the code that is named by the beginning of its hash', async () => {
    const args = ['proc', 'rollback', 'transfer', '--to', 'aaaa'];

    expect(await store.json(args)).toEqual({
      ...{ name: 'transfer', alias: 'prod', from: THIRD, to: FIRST, changed: true },
    });
    expect(await current()).toBe(FIRST);
    expect(await store.json(args)).toMatchObject({ from: FIRST, to: FIRST, changed: false });
  });

  test('refuses what does not name one of them', async () => {
    const run = (to: string) => store.run(['proc', 'rollback', 'transfer', '--to', to]);

    expect(await run('1234')).toMatchObject({
      exit: 3,
      stderr: expect.stringMatching(/never stood for 1234.*\n.*try: balsa proc show transfer@prod/),
    });
    expect(await run('aa')).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('It must be a hash or its beginning'),
    });
    await deploy(`aaaa${'1'.repeat(60)}`, ['transfer']);
    expect(await run('aaaa')).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('aaaa may be aaaa11111111, aaaa00000000'),
    });
    expect(await store.run(['proc', 'rollback', 'open'])).toMatchObject({ exit: 3 });
    expect(await current()).toBe(`aaaa${'1'.repeat(60)}`);
  });

  test('refuses when there is nothing before', async () => {
    await deploy(FIRST, ['open']);
    expect(await store.run(['proc', 'rollback', 'open'])).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('open@prod has stood for nothing else before'),
    });
  });
});

describe('proc remove', () => {
  test('forgets a name, and that alone', async () => {
    await deploy(FIRST, ['transfer', 'open']);

    expect(await store.run(['proc', 'remove', 'transfer'])).toMatchObject({
      ...{ exit: 0, stdout: 'transfer@prod\n', stderr: '' },
    });

    expect(linesOf((await store.run(['proc', 'list', '-o', 'json'])).stdout)).toMatchObject([
      { name: 'open' },
    ]);
    expect(await store.run(['proc', 'remove', 'transfer'])).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('error PROCEDURE_NOT_FOUND'),
    });
  });
});

describe('proc call', () => {
  const calls: CallProcedureRequest[] = [];
  beforeEach(() => {
    calls.length = 0;
    store.real.onCall = (request) => {
      calls.push(request);
      return { result: '{"left":7}', logs: ['one', 'two\u001b[2J'], revision: 12 };
    };
  });

  test('prints the result on stdout, what was logged on stderr', async () => {
    const args = ['proc', 'call', 'transfer', '{ "from": "ada", "amount": 3 }'];

    expect(await store.run(args)).toEqual(
      expect.objectContaining({
        ...{ exit: 0, stdout: '{"left":7}\n', stderr: 'one\ntwo\\e[2J\n' },
      }),
    );
    expect(calls).toMatchObject([
      { procedure: 'transfer', args: '{"from":"ada","amount":3}', route: 'lane', isNamed: false },
    ]);
  });

  test('prints a result that is nested deeply', async () => {
    const result = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    store.real.onCall = () => ({ result });

    const { exit, stdout } = await store.run(['proc', 'call', 'deep']);
    expect({ exit, isWhole: stdout === `${result}\n` }).toEqual({ exit: 0, isWhole: true });
    const whole = await store.run(['proc', 'call', 'deep', '-o', 'json']);
    expect(whole.stdout.startsWith(`{"result":${result},"revision":`)).toBe(true);
  });

  test('shows people where it was answered', async () => {
    const terminal = { isTerminal: true, env: { NO_COLOR: '1' } };
    const { stdout, stderr } = await store.run(['proc', 'call', 'transfer'], terminal);

    expect(stdout).toBe('{\n  "left": 7\n}\n');
    expect(stderr).toBe('one\ntwo\\e[2J\nrevision 12, abababababab, linearizable from n1\n');
    expect(calls).toMatchObject([{ args: 'null' }]);
  });

  test('-o json has all that is known', async () => {
    expect(await store.json(['proc', 'call', 'transfer'])).toMatchObject({
      result: { left: 7 },
      revision: 12,
      repeated: false,
      hash: 'ab'.repeat(32),
      logs: ['one', 'two\u001b[2J'],
      meta: { level: 'linearizable', replica: 'n1' },
    });
  });

  test('takes its arguments from stdin and from a file', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'args.json');
    writeFileSync(path, '[1,\n 2]\n');

    await store.run(['proc', 'call', 'a', '-'], { stdin: input('"x"\n') });
    await store.run(['proc', 'call', 'b', '--file', path]);
    const both = await store.run(['proc', 'call', 'c', '1', '--file', path]);

    expect(both).toMatchObject({ exit: 2, stderr: expect.stringContaining('not both') });
    expect(calls.map(({ args }) => args)).toEqual(['"x"', '[1,2]']);
  });

  test('refuses what is no JSON, and says where it is not', async () => {
    const given = await store.run(['proc', 'call', 'a', '{"a": 1,}']);
    const piped = await store.run(['proc', 'call', 'a', '-'], { stdin: input('[1,\n oops]') });
    const bytes = await store.run(['proc', 'call', 'a', '-'], {
      stdin: input(Buffer.from([0xff])),
    });

    expect(given.exit).toBe(2);
    expect(given.stderr).toBe(
      'error INVALID_ARGUMENT: the arguments are no JSON: line 1, column 9: there is a comma before the }\n' +
        '  {"a": 1,}\n          ^\ntry: balsa proc call --help shows how it is used\n',
    );
    expect(piped.stderr).toContain(
      'stdin is no JSON: line 2, column 2: a value is expected, found oops\n   oops]\n   ^\n',
    );
    expect(bytes.stderr).toContain('stdin is no text in UTF-8');
    expect(calls).toEqual([]);
  });

  test('has a key, a route and a level as they are given', async () => {
    await store.run(['proc', 'call', 'a', '--key', 'order-17']);
    await store.run(['proc', 'call', 'a'], { env: { BALSA_IDEMPOTENCY_KEY: 'order-18' } });
    await store.run(['proc', 'call', 'a', '--consistency', 'any']);
    await store.run(['proc', 'call', 'a', '--route', 'any']);
    // That is the key of an event, where a watch runs commands.
    await store.run(['proc', 'call', 'a'], { env: { BALSA_KEY: 'key-of-an-event' } });

    expect(calls.map(({ route, consistency, isNamed }) => [route, consistency, isNamed])).toEqual([
      ['lane', 'linearizable', true],
      ['lane', 'linearizable', true],
      ['read', 'any', false],
      ['any', 'linearizable', false],
      ['lane', 'linearizable', false],
    ]);
    expect(Buffer.from(calls[0]?.key ?? '').toString()).toBe('order-17');
    expect(Buffer.from(calls[1]?.key ?? '').toString()).toBe('order-18');
    const { exit, stderr } = await store.run(['proc', 'call', 'a', '--route', 'elsewhere']);
    expect({ exit, stderr }).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('lane, any'),
    });
  });

  test('asks an ap procedure at the replica at hand, with as many copies as are wanted', async () => {
    const local = ['proc', 'call', 'view', '--consistency', 'ap-local'];
    for (const where of ['local', '2']) await store.run([...local, '--durability', where]);
    await store.run(local, { env: { BALSA_DURABILITY: '1' } });

    expect(calls.map(({ route, consistency, peers }) => [route, consistency, peers])).toEqual([
      ['read', 'ap-local', 0],
      ['read', 'ap-local', 2],
      ['read', 'ap-local', 1],
    ]);
    for (const wrong of ['all', '-1', '1.5', '1000', '']) {
      const { exit, stderr } = await store.run([...local, `--durability=${wrong}`]);
      expect({ exit, stderr }).toEqual({
        exit: 2,
        stderr: expect.stringContaining('It must be local, or a number of other replicas.'),
      });
    }
    expect(calls).toHaveLength(3);
  });

  test('says what is not merged yet: to people on stderr, with -o json as a field', async () => {
    const args = ['proc', 'call', 'view', '--consistency', 'ap-local'];
    const terminal = { isTerminal: true, env: { NO_COLOR: '1' } };
    store.real.onCall = () => ({ pending: true });
    expect((await store.run(args, terminal)).stderr).toMatch(
      /^pending: not merged yet\nrevision \d+, [0-9a-f]{12}, ap-local from n1\n$/,
    );
    expect(await store.run(args)).toMatchObject({ stdout: 'null\n', stderr: '' });
    const known = { pending: true, meta: { level: 'ap-local' } };
    expect(await store.json(args)).toMatchObject(known);

    store.real.onCall = () => ({ pending: false });
    expect((await store.run(args, terminal)).stderr).not.toContain('pending');
    expect(await store.json(args)).toMatchObject({ pending: false, meta: { level: 'ap-local' } });
  });

  test('says that it was applied before', async () => {
    store.real.onCall = () => ({ repeated: true, hash: '' });

    const { stdout, stderr } = await store.run(['proc', 'call', 'a', '--key', 'k']);

    expect(stdout).toBe('null\n');
    expect(stderr).toContain('it had been applied before');
    const env = { BALSA_IDEMPOTENCY_KEY: 'k' };
    expect((await store.run(['proc', 'call', 'a'], { env })).stderr).toContain('before');
  });

  test('does not speak of a key that nobody has given, when an answer was lost', async () => {
    store.real.onCall = () => ({ repeated: true, hash: '' });
    expect(await store.run(['proc', 'call', 'a'])).toMatchObject({ stdout: 'null\n', stderr: '' });
    expect(await store.json(['proc', 'call', 'a'])).toMatchObject({ repeated: true });
  });

  test.each(['PROCEDURE_ABORTED', 'PROCEDURE_FAILED', 'JOB_FAILED'] as const)(
    'what code has made of %s is one line, and drives no terminal',
    async (code) => {
      const stack = '    at x (procedures.js:1:1)\u001b[2J\nerror NO_QUORUM: (procedures.js:1:1)\n';
      store.real.onCall = () => {
        throw new BalsaError(code, '\u001b[2J\nerror NO_QUORUM: forged\u202e', {
          outcome: 'not-applied',
          details: { stack },
        });
      };
      const { stderr } = await store.run(['proc', 'call', 'a'], { env: { BALSA_DEBUG: '1' } });

      expect(stderr).toMatch(
        new RegExp(`^error ${code}: \\\\e\\[2J\\\\nerror NO_QUORUM: forged\\\\u202e\n`),
      );
      expect(stderr).not.toContain('\u001b');
      expect(stderr).not.toContain('\u202e');
      expect(stderr).not.toMatch(/^error NO_QUORUM/m);
    },
  );

  test('what a schema says is no line of its own, either', async () => {
    store.real.onCall = () => {
      const said = 'arguments: a\nerror NO_QUORUM: forged\n  \u001b[2J';
      throw new BalsaError('INVALID_ARGUMENT', said, { outcome: 'not-applied' });
    };
    const { stderr } = await store.run(['proc', 'call', 'a']);
    expect(stderr).toBe(
      'error INVALID_ARGUMENT: arguments: a\\nerror NO_QUORUM: forged\n  \\e[2J\ntry: balsa proc call --help shows how it is used\n',
    );
  });

  test.each([
    ['PROCEDURE_ABORTED', 4],
    ['PROCEDURE_FAILED', 1],
    ['PROCEDURE_LIMIT', 1],
    ['PROCEDURE_NOT_FOUND', 3],
    ['PROCEDURE_READ_ONLY', 1],
    ['CALL_KEY_REUSED', 1],
    ['INVALID_ARGUMENT', 2],
  ] as const)('%s is exit code %i, with what was logged before', async (code, expected) => {
    store.real.onCall = () => {
      throw new BalsaError(code, 'so it is', { outcome: 'not-applied', details: { logs: ['hm'] } });
    };

    const { exit, stdout, stderr } = await store.run(['proc', 'call', 'a']);

    expect({ exit, stdout }).toEqual({ exit: expected, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^hm\nerror ${code}: so it is\n`));
  });

  test('says where in its own code a procedure has failed', async () => {
    const stack = '    at boom (procedures.js:2:40)\n    at run (balsa.js:1:1)\n';
    store.real.onCall = () => {
      throw new BalsaError('PROCEDURE_FAILED', 'no', {
        outcome: 'not-applied',
        details: { stack },
      });
    };

    const { stderr } = await store.run(['proc', 'call', 'a']);

    expect(stderr).toBe('error PROCEDURE_FAILED: no\n    at boom (procedures.js:2:40)\n');
  });

  test('an unknown outcome is exit code 6', async () => {
    store.h.cluster.fate = (request) => (request.type === 'call' ? 'ignore' : undefined);

    const { exit, stderr } = await store.run(['proc', 'call', 'a', '--timeout', '1s']);

    expect(exit).toBe(6);
    expect(stderr).toContain('The outcome is unknown');
  });
});

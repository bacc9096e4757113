import { describe, expect, test } from 'vitest';
import { BalsaError, ERROR_CODES, type ErrorCode } from '../../src/base/errors.js';
import { exitOf } from '../../src/cli/errors-to-exit.js';
import { EXIT, EXIT_OF_CODE } from '../../src/cli/exit-codes.js';
import { FakeStore, run } from './fakes.js';

const COMMANDS = [
  ...['start', 'put', 'get', 'del', 'range', 'count', 'txn', 'watch', 'lock', 'elect', 'import'],
  ...['bench', 'compact', 'info', 'status', 'recover', 'shell', 'deploy', 'dev', 'worker'],
];
const GROUPS = {
  cluster: ['members', 'add', 'remove', 'promote', 'demote', 'replace', 'transfer'],
  job: [...['submit', 'list', 'status', 'watch', 'result', 'cancel', 'retry', 'remove', 'stats']],
  lease: ['grant', 'keep-alive', 'revoke', 'show', 'list'],
  namespace: ['set', 'list', 'remove'],
  proc: ['list', 'show', 'call', 'rollback', 'remove', 'logs', 'stats'],
  settings: ['get', 'set'],
  snapshot: ['save', 'inspect', 'restore'],
  wal: ['inspect', 'verify'],
};
const PATHS = [
  ...COMMANDS,
  ...Object.entries(GROUPS).flatMap(([group, names]) => names.map((name) => `${group} ${name}`)),
];

describe('usage', () => {
  test.each(PATHS)('%s --help is printed on stdout with its examples', async (name) => {
    const result = await run([...name.split(' '), '--help']);
    expect(result).toMatchObject({ exit: 0, stderr: '' });
    const examples = result.stdout.split('Examples:\n')[1]?.trimEnd().split('\n') ?? [];
    expect(examples.length).toBeGreaterThanOrEqual(2);
    expect(examples.length).toBeLessThanOrEqual(4);
    for (const example of examples) expect(example).toMatch(new RegExp(`balsa (.* )?${name}`));
  });

  test('--help lists the commands, the rule of the variables and the exit codes', async () => {
    const { exit, stdout } = await run(['--help']);
    expect(exit).toBe(0);
    for (const name of [...COMMANDS, ...Object.keys(GROUPS), 'demo'])
      expect(stdout).toContain(`\n  ${name} `);
    for (const code of Object.values(EXIT)) expect(stdout).toMatch(new RegExp(`\n  ${code} +\\w`));
    expect(stdout).toContain('BALSA_ENDPOINTS');
  });

  test.each([
    [['pot', 'a'], "unknown command 'pot'\n(Did you mean put?)\ntry: balsa --help"],
    [['put', 'a', 'b', '--fil', 'x'], '(Did you mean --file?)\ntry: balsa put --help'],
    [
      ['cluster', 'ad', 'n4'],
      "unknown command 'ad'\n(Did you mean add?)\ntry: balsa cluster --help",
    ],
    [
      ['cluster', 'add', 'n4'],
      "missing required argument 'host:port'\ntry: balsa cluster add --help",
    ],
    [
      ['cluster', 'add', 'n4', 'h'],
      'error INVALID_ARGUMENT: "h" is not host:port\ntry: balsa cluster add --help',
    ],
    [['cluster', 'remove', 'n4', '--expect-index', '-1'], 'It must be a whole number from 0.'],
    [['snapshot', 'restore', 'f', '--name', 'n1'], '--data is needed (or BALSA_DATA)'],
    [
      ['snapshot', 'restore', 'f', '--data', 'd', '--name', 'N'],
      'It must be 1 to 32 characters of a-z',
    ],
    [['recover'], '--data is needed (or BALSA_DATA)\ntry: balsa recover --help'],
    [['recover', '--data', 'd', '--members', 'n1'], 'It must be like n1=host:port,n2=host:port'],
    [['get'], 'get: give a KEY, or --prefix, or --from and --to\ntry: balsa get --help'],
    [['get', 'a', '--limit', '3'], '--limit is for --prefix, --from and --to'],
    [['del'], 'del: give a KEY'],
    [['del', '--prefix'], 'del: --prefix of what?'],
    [['watch', 'a', '--prefix', 'b'], 'watch: give a key, or --prefix, or --from and --to'],
    [['watch', 'a', 'b'], 'a command to run stands behind --'],
    [['watch', 'a', '--'], 'there is no command behind --'],
    [['watch', '--consistency', 'at:3'], '--rev says where to begin'],
    [['lock'], "missing required argument 'name'"],
    [['elect', 'a'], 'elect: give a VALUE, or --listen'],
    [['lease', 'grant', 'soon'], 'a bare number is in seconds'],
    [['settings', 'set', 'history=1h'], 'It must be NAME=VALUE, of historyMs'],
    [['settings', 'set', 'historyMs=soon'], 'It must be a number and its unit'],
    [['namespace', 'set', 'a', '--quota', '1MB'], 'It must be a size'],
    [['compact', '0'], 'It must be a whole number from 1.'],
    [['get', 'a', '--consistency', 'bounded:5'], 'It must be a number and its unit'],
    [['put', 'a', 'b', '--ignore-value'], '--ignore-value takes no VALUE'],
    [['deploy'], "missing required argument 'file'"],
    [['proc', 'call'], "missing required argument 'ref'"],
    [['proc', 'logs', '7up'], '"7up" is no name of a procedure'],
    [['get', 'a', 'b'], 'too many arguments'],
    [['get', 'a', '-o', 'yaml'], 'Allowed choices are table, json, raw'],
    [['get', 'a', '--endpoints', 'x'], '"x" is not host:port'],
    [['get', 'a', '--timeout', '5'], 'It must be a number and its unit'],
    [['get', 'a', '--consistency', 'strong'], 'It must be one of linearizable, session'],
  ])('%j is wrong usage', async (args, message) => {
    const result = await run(args);
    expect(result).toMatchObject({ exit: 2, stdout: '' });
    expect(result.stderr).toContain(message);
  });

  test('no command at all prints the help on stderr, exit 2', async () => {
    const result = await run([]);
    expect(result).toMatchObject({ exit: 2, stdout: '' });
    expect(result.stderr).toContain('Usage: balsa');
  });

  test('BALSA_VERSION is no flag: images of containers say with it which version they hold', async () => {
    const store = new FakeStore();
    store.set('a', 'b');
    const result = await run(['get', 'a'], { store, env: { BALSA_VERSION: '1.4.2' } });
    expect(result).toMatchObject({ exit: 0, stdout: 'b' });
  });

  test('BALSA_DEBUG=1 shows the stack, which is hidden otherwise', async () => {
    const store = new FakeStore();
    store.onPut = () => {
      throw new TypeError('a bug');
    };
    const quiet = await run(['put', 'a', 'b'], { store });
    expect(quiet.exit).toBe(1);
    expect(quiet.stderr).toBe(
      'error INTERNAL: a bug\ntry: BALSA_DEBUG=1 shows where it comes from; please report it\n',
    );
    const debug = await run(['put', 'a', 'b'], { store, env: { BALSA_DEBUG: '1' } });
    expect(debug.stderr).toContain('    at ');
  });
});

describe('exit codes', () => {
  const codes = Object.keys(ERROR_CODES) as ErrorCode[];

  test('what may succeed later is 5, and nothing else is', () => {
    for (const code of codes) {
      expect(EXIT_OF_CODE[code] === EXIT.unavailable, code).toBe(ERROR_CODES[code].retryable);
    }
  });

  test('an unknown outcome is 6 for every code, Ctrl-C is 130 for every error', () => {
    for (const code of codes) {
      const error = new BalsaError(code, 'x', { outcome: 'unknown' });
      expect(exitOf(error, false)).toBe(6);
      expect(exitOf(error, true)).toBe(130);
    }
  });

  test.each([
    ['TIMEOUT', 5],
    ['KEY_TOO_LARGE', 2],
    ['CONFIG_INVALID', 2],
    ['PORT_IN_USE', 1],
  ] as const)('%s that was not applied is %i', (code, exit) => {
    expect(exitOf(new BalsaError(code, 'x', { outcome: 'not-applied' }), false)).toBe(exit);
  });
});
